"""A model over a text, recorded: from a prompt to a trace."""

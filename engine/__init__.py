"""The engine runs a model over a text and records its entropies: from a prompt to a trace."""

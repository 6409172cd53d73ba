"""A model's attention calls: checked, described, recorded and laid out as a trace."""

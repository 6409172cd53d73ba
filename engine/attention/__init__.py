"""The attention calls of a model: heard, checked, kept."""

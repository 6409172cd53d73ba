"""Loading a model from a stranger: its files are checked first, its layers and devices located."""

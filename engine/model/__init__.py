"""A model from a stranger: found, checked, loaded, and where its layers and devices are."""

"""The logit lens: each layer read as the head would read it."""

"""A figure of the page on its own, for a paper: drawn at a width, with its caption and values."""

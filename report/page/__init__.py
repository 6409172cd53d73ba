"""The HTML document: a report laid out and drawn."""

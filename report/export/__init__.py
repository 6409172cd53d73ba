"""One figure as a file for a paper."""

"""The export of one figure as a file for a paper."""

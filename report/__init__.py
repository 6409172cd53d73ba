"""A trace in, a page out; and the command line."""

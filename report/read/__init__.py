"""Numbers out of a trace: planes, views, statistics and their scales."""

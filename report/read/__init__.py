"""Views, statistics, curves and scales that are read from a trace."""

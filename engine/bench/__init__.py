"""Compare attention and vocabulary statistics with other ways to compute the same numbers."""

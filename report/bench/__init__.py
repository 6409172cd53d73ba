"""Benchmark results as a table on the terminal and as a page; needs no torch."""

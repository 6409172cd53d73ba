"""Benchmark results as a page with charts, and as tables on a terminal."""

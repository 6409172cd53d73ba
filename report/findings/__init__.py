"""Findings: sentences about a trace, with the numbers behind them."""

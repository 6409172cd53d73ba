"""Exact attention weights, summed in a second sweep that takes lse as given."""

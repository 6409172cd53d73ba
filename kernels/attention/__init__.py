"""Attention and its statistics in one pass over the keys."""

"""Attention with its statistics."""

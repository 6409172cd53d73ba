"""Measure where the time and memory of a prompt go, layer by layer."""

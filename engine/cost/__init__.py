"""Predict from a model's configuration what a run will take of memory, disk and time."""

"""What a run will take of memory, disk and time, before it runs."""

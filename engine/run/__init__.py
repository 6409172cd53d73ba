"""One extraction: planned, read chunk by chunk, answered, written, resumed."""

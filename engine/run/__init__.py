"""Extract one trace: planned, read chunk by chunk, answered, written, resumed."""

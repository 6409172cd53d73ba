"""The four gates of a trace from a stranger: its files, its metadata, its chunks, its values."""

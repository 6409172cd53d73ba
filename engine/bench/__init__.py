"""The benchmark: ours, the ceiling without entropy, and the other ways to get the same numbers."""

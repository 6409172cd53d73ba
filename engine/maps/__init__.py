"""Show where the attention weights go: maps, exact windows and head scores, by a second sweep."""

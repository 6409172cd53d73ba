"""Where the weights went: maps, exact windows, head scores, from a second sweep."""

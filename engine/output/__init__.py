"""Output places: check one before the work, let one run at a time write, replace in one step."""

"""Everything that a page shows of a trace or of a difference, gathered in one object."""

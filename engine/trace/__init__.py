"""A trace: the labelled arrays recorded for one sequence, in memory and on disk, without torch."""

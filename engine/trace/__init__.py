"""The trace: labelled arrays of one sequence, in memory and on a disk, without torch."""

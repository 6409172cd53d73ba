"""Which passages of the prompt an answer rests on, tested by hiding each of them from it."""

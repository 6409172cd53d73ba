"""What stands out, in sentences with their numbers."""

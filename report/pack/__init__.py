"""The values that fit into a page of limited size, and their encoding."""

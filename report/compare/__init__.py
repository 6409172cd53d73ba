"""Two traces as one: their tokens aligned, and B minus A."""

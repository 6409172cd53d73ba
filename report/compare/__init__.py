"""Two traces as one: aligned, and B minus A."""

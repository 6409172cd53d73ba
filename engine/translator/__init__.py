"""A translator maps a layer's residual to what the model's head reads: fit it, store it, use it."""

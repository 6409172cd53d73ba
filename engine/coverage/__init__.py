"""Compare what is recorded of each causal model class with its own eager attention."""

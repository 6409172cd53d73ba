"""Statistics of the vocabulary without logits."""

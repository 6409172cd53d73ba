"""Statistics of the softmax over the vocabulary without storing logits."""

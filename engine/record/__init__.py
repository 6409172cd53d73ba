"""`attentropy.record`: what a model does in the caller's own passes, with its tokens and lens."""

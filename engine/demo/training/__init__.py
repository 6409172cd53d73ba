"""Training and evaluation of the embedded model: tokenizer, batches, optimizer, accuracy."""

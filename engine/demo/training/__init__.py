"""How the embedded model is made and examined: vocabulary, batches, training, evaluation."""

"""The logit lens reads each layer's output as the model's own head would read it."""

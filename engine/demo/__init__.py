"""The embedded model, a small Llama that knows capitals: a first run needs no download."""

from pathlib import Path

DEFAULT_NAME = "attentropy-demo"
DEFAULT_PROMPT = "What is the capital of Australia?"

__all__ = ["DEFAULT_NAME", "DEFAULT_PROMPT", "path"]


def path() -> Path:
    """Return the folder with the model's weights, configuration and tokenizer."""
    return Path(__file__).parent / "weights"

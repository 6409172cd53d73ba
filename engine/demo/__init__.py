"""The embedded model: a small Llama that knows capitals, for a first run without a download."""

from pathlib import Path

DEFAULT_NAME = "attentropy-demo"
DEFAULT_PROMPT = "What is the capital of Australia?"

__all__ = ["DEFAULT_NAME", "DEFAULT_PROMPT", "path"]


def path() -> Path:
    """The folder with the model's weights, configuration and tokenizer."""
    return Path(__file__).parent / "weights"

"""The fixture that the engine's tests share: the embedded model, loaded once."""

import pytest

from attentropy.engine.model.load import load


@pytest.fixture(scope="session")
def embedded():
    """Return the embedded model with its tokenizer, on the CPU."""
    return load(device="cpu")

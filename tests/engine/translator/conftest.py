"""What the translator's tests share: a text, and a fit of the embedded model."""

from pathlib import Path

import pytest
import torch
from torch import nn

from attentropy.engine.lens.lens import Lens
from attentropy.engine.translator.fit import fit_lens

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def text():
    """Return a text of some thousand tokens."""
    return (ROOT / "README.md").read_text("utf-8")


@pytest.fixture(scope="session")
def fitted(embedded, text, tmp_path_factory):
    """Return the translator of the embedded model, fitted to 1,000 tokens, and its file."""
    path = tmp_path_factory.mktemp("lens") / "demo.lens.safetensors"
    translator = fit_lens(embedded.model, text, path, tokenizer=embedded.tokenizer, tokens=1000)
    return translator, path


@pytest.fixture
def plain_lens():
    """Return a function that makes a lens of a width: an RMS norm of scale 1, a random head."""

    def make(width: int, vocabulary: int = 37) -> Lens:
        norm = nn.RMSNorm(width, eps=1e-12)
        return Lens(norm, torch.randn(vocabulary, width), None, 1.0, None)

    return make

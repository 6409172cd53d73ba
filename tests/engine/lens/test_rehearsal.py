"""Rehearsal equals its definition in float64, whatever lies between a residual and its logits."""

import numpy as np
import pytest
import torch

from attentropy.engine.lens import rehearsal
from attentropy.engine.lens.lens import Lens

D, V, N, LAYERS = 7, 61, 23, 3


def definition(lens, residuals, tokens, own):
    """Return ln p, id and rank of the most likely of `tokens` in each cell, in float64."""
    cells = []
    for residual in residuals:
        z = residual.double() @ lens.weight.double().T
        z = (z + (0 if lens.bias is None else lens.bias.double())) * lens.scale
        z = z if lens.softcap is None else (z / lens.softcap).tanh() * lens.softcap
        p = z.log_softmax(-1)
        for row, excluded in zip(p, own, strict=True):
            left = [t for t in tokens if t != excluded]
            if not left:
                cells.append((np.nan, -1, -1))
                continue
            best = max(left, key=lambda t, row=row: float(row[t]))
            cells.append((float(row[best]), best, int((row > row[best]).sum())))
    return np.array(cells).reshape(len(residuals), len(own), 3)


@pytest.mark.parametrize(
    ("bias", "scale", "softcap"), [(False, 1.0, None), (True, 0.25, None), (True, 0.5, 4.0)]
)
@pytest.mark.parametrize("tokens", [[5], [5, 60, 0], list(range(1, V, 2))])
def test_rehearsal_equals_its_definition(monkeypatch, bias, scale, softcap, tokens):
    monkeypatch.setattr(rehearsal, "_ROWS", 5)
    generator = torch.Generator().manual_seed(len(tokens))
    lens = Lens(
        torch.nn.Identity(), torch.randn(V, D, generator=generator),
        torch.randn(V, generator=generator) if bias else None, scale, softcap,
    )  # fmt: skip
    positions = list(range(0, 2 * N, 2))
    residuals = [torch.randn(N, D, generator=generator) for _ in range(LAYERS)]
    own = [tokens[i % len(tokens)] if i % 3 else 2 for i in range(2 * N)]
    result = rehearsal.rehearse(lens, residuals, positions, 2 * N, tokens, own)
    expected = definition(lens, residuals, tokens, np.array(own)[positions])
    np.testing.assert_allclose(result.logprob[:, positions], expected[..., 0], atol=2e-5)
    np.testing.assert_array_equal(result.ids[:, positions], expected[..., 1])
    np.testing.assert_array_equal(result.rank[:, positions], expected[..., 2])
    between = np.setdiff1d(np.arange(2 * N), positions)
    assert np.isnan(result.logprob[:, between]).all()
    assert (result.ids[:, between] == -1).all()
    assert (result.rank[:, between] == -1).all()


def test_a_token_of_the_answer_is_no_blank_punctuation_or_part_of_a_letter():
    texts = ["The", " ", "<0xD8>", "<0x20 0xD8>", "أ", "<0x>", ".", "<|end|>", "rest"]
    content = rehearsal.find_content(range(9), texts, special={7}, stop={7})
    assert [text for text, counts in zip(texts, content, strict=True) if counts] == [
        "The", "أ", "<0x>",
    ]  # fmt: skip

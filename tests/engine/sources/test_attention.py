"""Attention with hidden keys equals a softmax over all keys in float64, whatever its blocks."""

import math

import numpy as np
import pytest
import torch

from attentropy.engine.sources import attention as module
from attentropy.engine.sources.attention import Keys, Score, hidden_attention, received
from attentropy.engine.sources.hiding import Interval, is_hidden
from attentropy.kernels.common.mask import Mask


def reference(query, keys, values, mask, variants, score):
    """Return output and weights in float64, with every score in memory."""
    query, keys, values = query.double(), keys.double(), values.double()
    group = query.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    scores = query @ keys.transpose(-1, -2) * score.scale
    if score.softcap is not None:
        scores = score.softcap * torch.tanh(scores / score.softcap)
    rows, columns = query.shape[2], keys.shape[2]
    visible = mask.visible((0, rows), (0, columns), torch.device("cpu"))
    position = np.arange(rows) + mask.query_offset
    hidden = [is_hidden(variant, 0, position, np.arange(columns)) for variant in variants]
    scores = scores.masked_fill(~visible | torch.tensor(np.array(hidden))[:, None], -math.inf)
    sinks = torch.zeros(0) if score.sinks is None else score.sinks.double()
    sinks = sinks.view(1, -1, 1, 1).expand(*scores.shape[:2], rows, 1) if len(sinks) else None
    everything = scores if sinks is None else torch.cat([scores, sinks], -1)
    weights = everything.softmax(-1)[..., :columns]
    return weights @ values, weights


CASES = {
    "plain": {},
    "one head for all": {"heads": (4, 1)},
    "values of another width": {"width": 5},
    "window": {"mask": {"window": 7}},
    "chunk": {"mask": {"chunk": 8}},
    "softcap": {"softcap": 2.0},
    "sinks": {"sinks": True},
    "everything": {"heads": (6, 2), "mask": {"window": 9}, "softcap": 3.0, "sinks": True},
    "no prompt": {"prompt": 0},
    "one row": {"rows": 1},
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("block", [1, 8 << 20])
def test_hidden_attention_equals_float64(name, dtype, block, monkeypatch):
    case = CASES[name]
    monkeypatch.setitem(module.BLOCK_BYTES, "cpu", block)
    monkeypatch.setattr(module, "_FEWEST_KEYS", 3)
    monkeypatch.setattr(module, "_ROWS", 40 if block == 1 else 2048)
    torch.manual_seed(0)
    heads, shared = case.get("heads", (4, 2))
    prompt, rows, width = case.get("prompt", 29), case.get("rows", 9), case.get("width", 6)
    whole = prompt + rows
    variants = [
        (),
        (Interval(3, 8, prompt),),
        (Interval(0, 1, 0), Interval(10, 27, prompt + 2)),
        (Interval(prompt - 1 if prompt else 0, prompt + 4, prompt + 3),),
        (Interval(prompt, whole, 0), Interval(0, prompt, prompt + 1)),
    ]
    query = torch.randn(len(variants), heads, rows, 6).to(dtype) * 3
    past = [torch.randn(1, shared, prompt, n).to(dtype) for n in (6, width)]
    own = [torch.randn(len(variants), shared, rows, n).to(dtype) for n in (6, width)]
    mask = Mask(rows, whole, prompt, **case.get("mask", {}))
    sinks = torch.randn(heads).to(dtype) if case.get("sinks") else None
    score = Score(0.4, case.get("softcap"), sinks)
    parts = [Keys(0, *past), Keys(prompt, *own)]
    out = hidden_attention(query, parts, mask, variants, score)
    keys, values = (
        torch.cat([a.expand(len(variants), -1, -1, -1), b], 2)
        for a, b in zip(past, own, strict=True)
    )
    expected, weights = reference(query, keys, values, mask, variants, score)
    tolerance = {torch.float32: 2e-6, torch.float64: 1e-13, torch.bfloat16: 2e-2}[dtype]
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)
    first = [Keys(0, *past), Keys(prompt, *(part[:1] for part in own))]
    mass = received(query[:1], first, mask, score)
    torch.testing.assert_close(mass, weights[0].mean((0, 1)), rtol=1e-5, atol=1e-6)


def test_a_row_keeps_its_own_key_and_can_be_left_with_it_alone():
    torch.manual_seed(0)
    query, keys, values = torch.randn(3, 1, 2, 5, 4).unbind()
    variant = (Interval(0, 5, 0),)
    out = hidden_attention(query, [Keys(0, keys, values)], Mask(5, 5, 0), [variant], Score(1.0))
    torch.testing.assert_close(out, values)


def test_the_prompts_keys_are_not_copied(monkeypatch):
    keys, values = torch.randn(1, 2, 50, 4), torch.randn(1, 2, 50, 4)
    own = torch.randn(6, 2, 3, 4)
    read = []
    product = module._product

    def watch(left, right):
        read.append(right.untyped_storage().data_ptr())
        return product(left, right)

    monkeypatch.setattr(module, "_product", watch)
    parts = [Keys(0, keys, values), Keys(50, own, own)]
    hidden_attention(torch.randn(6, 2, 3, 4), parts, Mask(3, 53, 50), [()] * 6, Score(0.5))
    assert {t.untyped_storage().data_ptr() for t in (keys, values, own)} == set(read)

"""A dense mask is described by a few numbers, or refused; it is never guessed."""

import pytest
import torch

from attentropy.engine.attention import masks
from attentropy.engine.attention.masks import UnknownMask, read_dense
from attentropy.engine.attention.visibility import Visibility
from attentropy.kernels.common.mask import Mask


def _dense(batch=1, queries=11, keys=11, start=None, window=None, length=None):
    """Return a causal boolean mask [batch, 1, queries, keys] with the padding of each row."""
    i = torch.arange(queries)[:, None] + keys - queries
    j = torch.arange(keys)[None, :]
    is_visible = (j <= i).repeat(batch, 1, 1)
    if window is not None:
        is_visible &= j > i - window
    for b in range(batch):
        is_visible[b] &= j >= (start[b] if start else 0)
        is_visible[b] &= j < (length[b] + (start[b] if start else 0) if length else keys)
    return is_visible[:, None]


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ({}, {"window": None}),
        ({"queries": 4}, {"window": None, "query_offset": 7}),
        ({"window": 3}, {"window": 3}),
        ({"batch": 2, "start": [0, 3]}, {"window": None}),
        ({"batch": 2, "length": [11, 6]}, {"window": None}),
        ({"batch": 2, "start": [2, 4], "window": 4}, {"window": 4}),
    ],
)
def test_a_dense_mask_is_read_back_into_its_pattern(pattern, wanted, added):
    mask = _dense(**pattern)
    if added:
        mask = torch.where(mask, 0.0, torch.finfo(torch.float32).min)
    read = read_dense(mask, *mask.shape[2:]).mask
    assert read.causal
    for name, value in wanted.items():
        assert getattr(read, name) == value
    lengths = [None] if read.key_lengths is None else read.key_lengths.tolist()
    assert lengths == pattern.get("length", lengths)


def test_a_dense_mask_with_a_hole_a_bias_or_a_head_of_its_own_is_refused():
    holed = _dense()
    holed[0, 0, 9, 4] = False
    with pytest.raises(UnknownMask, match="more than a window and padding"):
        read_dense(holed, 11, 11)
    biased = torch.where(_dense(), 0.0, -torch.inf)
    biased[0, 0, 9, 4] = -1.5
    with pytest.raises(UnknownMask, match="bias"):
        read_dense(biased, 11, 11)
    heads = _dense().repeat(1, 2, 1, 1)
    heads[0, 1, 9] = False
    with pytest.raises(UnknownMask, match="heads"):
        read_dense(heads, 11, 11)
    with pytest.raises(UnknownMask, match="a custom mask of shape"):
        read_dense(_dense(), 11, 12)


def test_a_mask_that_must_be_built_is_refused_before_it_grows_large(monkeypatch):
    monkeypatch.setattr(masks, "DENSE_TOKENS", 10)
    with pytest.raises(UnknownMask, match="at most 10 tokens"):
        read_dense(_dense(), 11, 11)
    monkeypatch.setattr(masks.Built, "needed", True)
    with pytest.raises(UnknownMask, match="at most 10 tokens"):
        masks.describe_mask(1, 11, 11, mask_function=None)


def test_blocks_that_no_token_is_in_add_nothing_to_a_causal_mask():
    from transformers.masking_utils import blockwise_overlay, causal_mask_function, or_masks

    def described(ids):
        function = or_masks(causal_mask_function, blockwise_overlay(ids))
        return masks.describe_mask(1, 5, 5, mask_function=function)

    assert described(torch.full((1, 5), -1)) == Visibility(Mask(5, 5, 0))
    with pytest.raises(UnknownMask, match="tokens of an image see each other"):
        described(torch.tensor([[-1, 0, 0, -1, -1]]))

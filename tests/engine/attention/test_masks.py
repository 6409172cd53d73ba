"""A dense mask is described by a few numbers, or refused; it is never guessed."""

import pytest
import torch
from transformers.masking_utils import (
    and_masks,
    blockwise_overlay,
    causal_mask_function,
    chunked_overlay,
    or_masks,
    sliding_window_overlay,
)

from attentropy.engine.attention import masks
from attentropy.engine.attention.masks import UnknownMask, read_dense
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


class TestImages:
    """The tokens of an image see each other."""

    @staticmethod
    def described(ids, *parts, window=None, first_key=0):
        ids = torch.tensor(ids)
        function = or_masks(and_masks(causal_mask_function, *parts), blockwise_overlay(ids))
        if window is not None:
            function = and_masks(function, sliding_window_overlay(window))
        n = ids.shape[1] - first_key
        return masks.describe_mask(
            len(ids), n, n, first_key, first_key, mask_function=function
        ).mask  # fmt: skip

    def test_blocks_that_no_token_is_in_add_nothing_to_a_causal_mask(self):
        assert self.described([[-1] * 5]) == Mask(5, 5, 0)
        assert self.described([[0, 0, -1, -1, -1]], first_key=2).last_keys is None

    def test_a_query_in_an_image_sees_up_to_the_images_last_token(self):
        mask = self.described([[-1, 0, 0, 1, 1, -1, 2], [-1] * 5 + [7, 7]])
        assert mask.last_keys.tolist() == [[0, 2, 2, 4, 4, 5, 6], [0, 1, 2, 3, 4, 6, 6]]
        counts = [[1, 3, 3, 5, 5, 6, 7], [1, 2, 3, 4, 5, 7, 7]]
        assert mask.counts(torch.device("cpu")).tolist() == counts
        assert self.described([[0, 0, 0, 0, 1]], first_key=2).last_keys.tolist() == [[1, 1, 2]]
        mask = self.described([[-1, 0, 0, 0, -1]], window=2)
        assert mask.window == 2
        assert mask.counts(torch.device("cpu")).tolist() == [[1, 4, 3, 2, 2]]
        inside = self.described([[-1, 0, 0, 0, -1]], sliding_window_overlay(3))
        assert inside.counts(torch.device("cpu")).tolist() == [[1, 4, 4, 3, 3]]

    def test_others_are_refused_with_what_to_do(self):
        chunks = chunked_overlay(4, torch.zeros(1))
        for ids, parts in (
            ([[0, -1, 0]], ()),
            ([[-1, 0, 0]], (chunks,)),
            ([[0, 0, 0, -1]], (sliding_window_overlay(2),)),
        ):
            with pytest.raises(UnknownMask, match="does not support"):
                self.described(ids, *parts)

"""A sequence's part in a call, without its padding, sees what it saw within the call."""

import pytest
import torch

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.kernels.common.mask import Mask

KEYS, CPU = 13, torch.device("cpu")
# The tokens 4 to 6 and 9 to 11 are two images.
LAST = torch.tensor([[0, 1, 2, 3, 6, 6, 6, 7, 8, 11, 11, 11, 12]])


@pytest.mark.parametrize(("begin", "end"), [(0, None), (0, 6), (3, 9), (5, None)])
@pytest.mark.parametrize("padding", [(0, 13), (2, 11), (3, 9)])
@pytest.mark.parametrize("rules", [{}, {"window": 4}, {"last_keys": LAST}])
@pytest.mark.parametrize("offset", [0, 5])
def test_tokens_see_what_they_saw_with_padding(begin, end, padding, rules, offset):
    start, length = padding
    queries = KEYS - offset
    mask = Mask(
        queries, KEYS, offset, causal=True, key_starts=torch.tensor([start]),
        key_lengths=torch.tensor([length]), **rules,
    )  # fmt: skip
    rows = torch.arange(offset, KEYS).float()
    query = rows.expand(1, 1, 1, -1).transpose(2, 3)
    key = torch.arange(KEYS).float().expand(1, 1, 1, -1).transpose(2, 3)
    call = SequenceCall(query, key, rows.expand(1, 1, -1), Visibility(mask), {})
    tokens = call.of_tokens(begin, end)
    stop = start + (length if end is None else min(length, end))
    expected_rows = [row for row in range(offset, KEYS) if start + begin <= row < stop]
    if not expected_rows:
        assert tokens is None
        return
    assert tokens.query[0, 0, :, 0].tolist() == expected_rows
    keys = tokens.key[0, 0, :, 0].long()
    assert keys.tolist() == list(range(start, stop))
    own = tokens.visibility.mask.visible((0, len(expected_rows)), (0, len(keys)), CPU)[0, 0]
    within = mask.visible((0, queries), (0, KEYS), CPU)[0, 0]
    within = within[[row - offset for row in expected_rows]][:, keys]
    assert torch.equal(own, within)

"""Arguments of attention that do not fit are refused in one line."""

import pytest
import torch

from attentropy import attention
from close import inputs

BAD = [
    ({"q": torch.zeros(2, 3, 4)}, ValueError, "dimensions"),
    ({"q": torch.zeros(2, 3, 9, 64)}, ValueError, "multiple"),
    ({"k": torch.zeros(2, 2, 9, 32)}, ValueError, "head size"),
    ({"v": torch.zeros(2, 2, 8, 64)}, ValueError, "k and v differ"),
    ({"q": torch.zeros(2, 4, 9, 64, dtype=torch.int32)}, TypeError, "floating"),
    ({"stats": ("entrpy",)}, ValueError, "entrpy"),
    ({"stats": ("sink_prob",)}, ValueError, "sink_prob needs sinks"),
    ({"sinks": torch.zeros(3)}, ValueError, "one per head"),
    ({"window": 0}, ValueError, "window must be at least 1, not 0"),
    ({"softcap": -1.0}, ValueError, "softcap"),
    ({"key_starts": torch.zeros(3)}, ValueError, "key_starts"),
    ({"impl": "cuda"}, ValueError, "impl"),
    ({"q": torch.zeros(2, 4, 9, 64, requires_grad=True)}, RuntimeError, "an input requires grad"),
    (
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 264), "k": torch.zeros(2, 2, 9, 264)},
        NotImplementedError,
        "256; use impl='portable'",
    ),
    (
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 64, dtype=torch.float64)},
        NotImplementedError,
        "float64",
    ),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD, ids=[case[2] for case in BAD])
def test_arguments_that_do_not_fit_are_refused_in_one_line(change, error, words):
    arguments = dict(zip("qkv", inputs(9, 9), strict=True)) | change
    q, k, v = (arguments.pop(name) for name in "qkv")
    with pytest.raises(error, match=words) as caught:
        attention(q, k, v, **arguments)
    assert "\n" not in str(caught.value)


def test_grad_is_allowed_where_it_is_off():
    q, k, v = inputs(9, 9)
    with torch.no_grad():
        attention(q.requires_grad_(), k, v)

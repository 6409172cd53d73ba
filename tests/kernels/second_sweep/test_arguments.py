"""Arguments of the second sweep that do not fit are refused in one line."""

import pytest
import torch

from attentropy import (
    attention,
    attention_at,
    attention_by_distance,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
)
from close import inputs

BAD = [
    (attention_map, {"tile": 0}, ValueError, "tile"),
    (attention_map, {"tile": (3, 4, 5)}, ValueError, "tile"),
    (attention_map, {"tile": 3, "heads": "some"}, ValueError, "heads"),
    (attention_map, {"tile": 3, "values": "sum"}, ValueError, "values"),
    (attention_map, {"tile": 3, "windw": 3}, TypeError, "windw"),
    (attention_received, {"window": 0}, ValueError, "window must be at least 1, not 0"),
    (
        attention_received,
        {"impl": "triton", "q": torch.zeros(2, 4, 9, 64, dtype=torch.float64)},
        NotImplementedError,
        "float64; use impl='portable'",
    ),
    (attention_at, {"keys": torch.zeros(2, 8, dtype=torch.int64)}, ValueError, "keys"),
    (attention_at, {"keys": torch.zeros(2, 9)}, ValueError, "keys"),
    (attention_by_distance, {"first_keys": -1}, ValueError, "must be at least 0, not -1"),
    (attention_by_distance, {"first_keys": 1.5}, TypeError, "first_keys"),
    (attention_recent, {"last": 0}, ValueError, "last must be at least 1, not 0"),
]


@pytest.mark.parametrize(("run", "arguments", "error", "words"), BAD)
def test_arguments_that_do_not_fit_are_refused_in_one_line(run, arguments, error, words):
    q, k, v = inputs(9, 9)
    arguments = {"q": q, "k": k, "lse": attention(q, k, v).lse} | arguments
    with pytest.raises(error, match=words) as caught:
        run(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"rows": (0, 10)}, {"cols": (5, 3)}, {"values": "sum"}, {"lse": torch.zeros(2, 4, 8)}],
)
def test_a_rectangle_that_does_not_fit_is_refused(change):
    q, k, v = inputs(9, 9)
    arguments = {"lse": attention(q, k, v).lse, "rows": (0, 9), "cols": (0, 9)} | change
    with pytest.raises(ValueError, match="attention_window"):
        attention_window(q, k, **arguments)

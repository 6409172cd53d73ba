"""Exact weights in a page: few as they are, many in steps that leave the digits read right."""

import base64
import zlib

import numpy as np
import pytest

from attentropy.report.pack import at_length
from attentropy.report.pack.encode import EXACT_VALUES
from traces import synthetic


def unpacked(packed):
    """Return packed weights, [layer, head, key, query]."""
    raw = zlib.decompress(base64.b64decode(packed["data"]))
    if packed["type"] == "uint16":  # low bytes, then high ones
        raw = np.frombuffer(raw, np.uint8).reshape(2, -1).T.tobytes()
    kind = {"float32": "<f4", "uint8": "u1", "uint16": "<u2"}[packed["type"]]
    values = np.frombuffer(raw, kind).reshape(packed["shape"])
    return values * packed["step"] if "step" in packed else values


def peaked(layers, heads, n):
    """Return causal rows [layer, head, query, key] as peaked as those of trained models."""
    scores = 4 * np.random.default_rng(0).standard_normal((layers, heads, n, n))
    scores[..., 0] += 6  # a sink
    scores[..., ~np.tril(np.ones((n, n), bool))] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def test_few_weights_are_exact_and_lie_by_key():
    trace = synthetic()
    (window,) = at_length.pack_at_length(trace, None)["windows"]
    weights = np.nan_to_num(trace["window"])
    assert weights.size <= EXACT_VALUES
    np.testing.assert_array_equal(unpacked(window["values"]), weights.swapaxes(-1, -2))


@pytest.mark.parametrize(("layers", "n", "digits"), [(2, 40, 3), (12, 100, 3), (30, 148, 2)])
def test_many_weights_are_right_to_the_digits_that_people_read(layers, n, digits):
    weights = peaked(layers, 9, n)
    packed = at_length._weights(synthetic(), at_length.by_key(weights), None)
    got = unpacked(packed).swapaxes(-1, -2)
    assert len(packed["data"]) <= at_length._WINDOW_BYTES
    assert np.abs(got - weights).max() <= packed["error"] * (1 + 1e-6)
    assert packed["error"] <= 0.5001 * 10.0**-digits
    sample = np.random.default_rng(1).integers(0, weights.size, 2000)
    shown = [f"{p:.{digits}f}" for p in got.ravel()[sample]]
    assert shown == [f"{p:.{digits}f}" for p in weights.ravel()[sample]]

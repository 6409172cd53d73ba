"""Comparison of kernel results (values that are not finite first), and devices for kernels."""

from __future__ import annotations

import math

import pytest
import torch

from attentropy.engine.trace.statistics import ATTENTION_STATISTICS

on_devices = pytest.mark.parametrize(
    "device",
    [
        pytest.param("cpu", id="interpreted"),
        pytest.param("cuda", id="gpu", marks=pytest.mark.gpu),
    ],
)


def available(device):
    """Return the device if the kernel under test runs there; skip the test otherwise."""
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device: the kernel ran in Triton's interpreter alone")
    if device == "cpu" and torch.cuda.is_available():
        pytest.skip("a GPU is here: the kernel is compiled, not interpreted")
    return device


# An entropy below LOW nats is within RELATIVE of it, and FLOOR, too.
LOW, RELATIVE, FLOOR = 1e-4, 0.1, 5e-7


def assert_close(got, wanted, bound, name=""):
    """Assert |got − wanted| ≤ bound where wanted is finite, and the same NaN and inf elsewhere.

    Entropies near 0 (by their name) have a relative bound, too: see docs/definitions.md.
    """
    got, wanted = got.detach().cpu().double(), wanted.detach().cpu().double()
    assert got.shape == wanted.shape, f"{name}: {got.shape} is not {wanted.shape}"
    assert torch.equal(got.isnan(), wanted.isnan()), f"{name}: NaN in other places"
    assert torch.equal(got.isinf(), wanted.isinf()), f"{name}: inf in other places"
    finite = wanted.isfinite()
    error = (got - wanted)[finite].abs()
    if error.numel():
        rms = float(error.square().mean().sqrt())
        assert float(error.max()) <= bound, (
            f"{name}: {error.max():.3g} (RMS {rms:.3g}) > {bound:.3g}"
        )
    if name == "entropy":
        assert_relative(got[finite], wanted[finite], RELATIVE + bound, FLOOR)


def assert_relative(got, wanted, relative, floor=0.0):
    """Assert |got − wanted| ≤ relative · wanted + floor for each entropy below LOW nats."""
    is_low = wanted < LOW
    excess = ((got - wanted).abs() - relative * wanted - floor)[is_low]
    if excess.numel():
        i = int(excess.argmax())
        pair = float(got[is_low][i]), float(wanted[is_low][i])
        assert float(excess[i]) <= 0, f"entropy: {pair[0]:.3g} is not {pair[1]:.3g} nats"


def score_bound(q, k, scale=None):
    """Return the error bound of float32 scores: 2e-5 + 2⁻²⁰ · scale · max Σ_d |q_d k_d| nats."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    group = q.shape[1] // k.shape[1]
    keys = k.double().abs().repeat_interleave(group, 1).transpose(-1, -2)
    return 2e-5 + 2**-20 * abs(scale) * float((q.double().abs() @ keys).max())


def bounds(q, k, scale=None):
    """Return the bound of each statistic; outputs sum weights that carry the scores' error."""
    entropy = score_bound(q, k, scale)
    keys = max(2, k.shape[2])
    weight = 1e-5 + entropy
    by_unit = {
        "nats": entropy,
        "share": weight,
        "nats²": entropy * math.log(keys),
        "tokens": entropy * keys,
    }
    measured = [one for one in ATTENTION_STATISTICS if not one.is_key]
    return {"out": 4 * weight} | {one.name: by_unit[one.unit] for one in measured}


def inputs(
    queries, keys, heads=4, kv_heads=2, dim=64, width=None, *, sigma=1.0, offset=0.0, seed=0
):
    """Return q, k, v with scores of standard deviation `sigma`, all shifted by `offset`."""
    random = torch.Generator().manual_seed(seed)
    q = torch.randn(2, heads, queries, dim, generator=random) * sigma
    k = torch.randn(2, kv_heads, keys, dim, generator=random)
    v = torch.randn(2, kv_heads, keys, width or dim, generator=random)
    if offset:
        q[..., 0] = 4.0
        k[..., 0] = offset * dim**0.5 / 4.0
    return q, k, v

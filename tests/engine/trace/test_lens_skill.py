"""How far the lens can be read: skill and agreement of constructed traces."""

from __future__ import annotations

import math

import numpy as np
import pytest

import traces
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import lens_skill

VOCABULARY = 1000


def with_lens(trace: Trace, entropy: float, kl: list[float], right: list[float]) -> Trace:
    """Return a trace of constant KL per layer, whose lens names the last top token so often."""
    dataset = trace.dataset.copy(deep=True)
    n = dataset.sizes["position"]
    dataset["lens_entropy"][:] = entropy
    for layer, (value, share) in enumerate(zip(kl, right, strict=True)):
        dataset["lens_kl"][:, layer] = value
        dataset["lens_top_ids"][:, layer, :, 0] = np.where(np.arange(n) < share * n, 7, 8)
    dataset["lens_top_ids"][:, -1, :, 0] = 7
    model = {**dataset.attrs["model"], "vocabulary": VOCABULARY, "layers": len(kl)}
    return Trace(dataset.assign_attrs(model=model))


def raw(layers: int = 3) -> Trace:
    """Return a trace of a text without template tokens."""
    return traces.synthetic(layers=layers, heads=1, tokens=[f" t{i}" for i in range(41)],
                            roles=["content"] * 41)  # fmt: skip


def test_uniform_guess_has_no_skill_and_the_output_itself_all() -> None:
    room = math.log(VOCABULARY) - 2.0
    trace = with_lens(raw(), 2.0, [2 * room, room, 0.0], [0.0, 0.5, 1.0])
    result = lens_skill(trace)
    assert result is not None
    assert result.positions == 40  # without the first
    np.testing.assert_allclose(result.skill, [-1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(result.agreement, [0, 0.5, 1], atol=0.02)
    assert result.is_readable.tolist() == [False, False, True]
    assert not result.is_few


@pytest.mark.parametrize("missing", ["lens_kl", "lens_top_ids", "layers", "vocabulary"])
def test_not_measured(missing: str) -> None:
    trace = with_lens(raw(), 2.0, [1.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    model = {**trace.attrs["model"]}
    if missing in ("layers", "vocabulary"):
        model[missing] = 9 if missing == "layers" else None
        assert lens_skill(Trace(trace.dataset.assign_attrs(model=model))) is None
    else:
        assert lens_skill(Trace(trace.dataset.drop_vars(missing))) is None

"""Hopper's own second sweep: emulated step by step in float32; on a GPU the kernel itself runs."""

import math

import pytest
import torch

from attentropy import attention, attention_received
from attentropy.kernels.attention.hopper_constants import ROWS as _ROWS
from attentropy.kernels.common import tiles
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.triton_scores import HIDDEN
from attentropy.kernels.second_sweep import hopper_kernel, hopper_launch, triton_launch
from close import assert_close, bounds, inputs

ROWS, GROUPS, KEYS = _ROWS.value, hopper_kernel.GROUPS.value, tiles._HOPPER_SUMS.keys
SHAPES = [(300, 300, 0), (257, 601, 344), (130, 77, 0), (100, 500, 9), (641, 641, 0), (1, 300, 299)]


def _emulate(q, k, lse, scale, causal, offset):
    """Return the sums as the kernel adds them; every pair of a visible query is added once."""
    batch, heads, queries, _ = q.shape
    keys = k.shape[2]
    c = torch.tensor(scale * math.log2(math.e))
    base = torch.where(lse == -math.inf, HIDDEN.value, lse * -math.log2(math.e))
    out = torch.full((GROUPS, batch, heads, keys), math.nan)
    for b, h, n in (
        (b, h, n) for b in range(batch) for h in range(heads) for n in range(0, keys, KEYS)
    ):
        own = torch.zeros(KEYS, k.shape[-1])
        part = k[b, h * k.shape[1] // heads, n : n + KEYS].float()
        own[: len(part)] = part
        first = min(max(n - offset, 0), queries) // ROWS * ROWS if causal else 0
        steps = max(-(-(queries - first) // (GROUPS * ROWS)), 1)
        masked = -(-max(n + KEYS - 1 - offset - first, 0) // (GROUPS * ROWS)) if causal else 0
        masked = min(masked, steps - 1)
        for g in range(GROUPS):
            sums = torch.zeros(ROWS, KEYS)
            for j in range(steps):
                at = first + (j * GROUPS + g) * ROWS
                rows = torch.zeros(ROWS, q.shape[-1])
                some = q[b, h, at : at + ROWS].float()
                rows[: len(some)] = some
                own_base = torch.full((ROWS,), HIDDEN.value)
                own_base[: len(some)] = base[b, h, at : at + ROWS]
                z = (rows @ own.T).double() * c.double() + own_base[:, None].double()
                p = torch.exp2(z.float())
                if causal and (j < masked or j == steps - 1):
                    last = torch.where(torch.arange(at, at + ROWS) < queries, at, -(2**31))
                    last = offset + last + torch.arange(ROWS)
                    p = torch.where(torch.arange(n, n + KEYS) <= last[:, None], p, 0.0)
                sums += p
            inside = min(KEYS, keys - n)
            out[g, b, h, n : n + inside] = sums.sum(0)[:inside]
    return out.sum(0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("queries", "keys", "offset"), SHAPES)
def test_the_emulated_sums_are_those_of_the_reference(queries, keys, offset, causal):
    q, k, v = (t.bfloat16() for t in inputs(queries, keys, 2, 1, sigma=3))
    mask = {"causal": causal, "query_offset": offset}
    lse = attention(q, k, v, impl="reference", **mask).lse
    wanted = attention_received(q, k, lse, impl="reference", **mask)
    got = _emulate(q, k, lse.float(), q.shape[-1] ** -0.5, causal, offset)
    assert_close(got, wanted, bounds(q, k)["max_prob"] * queries, "received")


def test_a_key_that_no_query_sees_gets_nothing_even_if_it_is_nan():
    q, k, v = (t.bfloat16() for t in inputs(100, 300, 2, 1))
    k[:, :, 110] = math.nan
    k[:, :, 290] = math.inf
    lse = attention(q, k[:, :, :100], v[:, :, :100], impl="reference").lse
    got = _emulate(q, k, lse.float(), 0.125, True, 0)
    assert (got[:, :, 100:] == 0).all()


@pytest.mark.parametrize("is_requested", [True, False])
@pytest.mark.parametrize(
    ("dim", "arguments", "served"),
    [
        (64, {}, True),
        (128, {"causal": False}, True),
        (96, {}, False),
        (64, {"window": 9}, False),
        (64, {"key_starts": torch.zeros(2)}, False),
        (64, {"query_offset": -1}, False),
    ],
)
def test_only_plain_calls_that_the_environment_asks_for_are_served(
    monkeypatch, dim, arguments, served, is_requested
):
    monkeypatch.delenv("ATTENTROPY_HOPPER", raising=False)
    if is_requested:
        monkeypatch.setenv("ATTENTROPY_HOPPER", "lazy")
    monkeypatch.setattr(tiles, "architecture_of", lambda device: "sm_90")
    q, k, _ = (t.bfloat16() for t in inputs(130, 130, dim=dim))
    sums = torch.arange(2 * 4 * 130.0).view(2, 4, 130)
    monkeypatch.setattr(hopper_launch, "received", lambda *args: sums)
    monkeypatch.setattr(triton_launch, "_tile_sums", lambda *args, **kw: torch.zeros(2, 1, 1, 130))
    mask = Mask(130, 130, arguments.pop("query_offset", 0), **arguments)
    got = triton_launch.received(q, k, torch.zeros(2, 4, 130), True, Score(0.1), mask)
    wanted = sums.mean(1, keepdim=True) if served and is_requested else torch.zeros(2, 1, 130)
    assert torch.equal(got, wanted)


@pytest.fixture
def cuda(monkeypatch):
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("no GPU of compute capability 9.0: the kernel in Gluon ran nowhere")
    monkeypatch.setenv("ATTENTROPY_HOPPER", "lazy")
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("queries", "keys", "offset"), [*SHAPES, (9000, 9000, 0)])
def test_the_kernel_sums_as_the_reference_and_the_same_in_each_run(
    cuda, dim, dtype, causal, queries, keys, offset, poisoned, monkeypatch
):
    launches, launch = [], hopper_launch.received
    monkeypatch.setattr(
        hopper_launch, "received", lambda *args: launches.append(1) or launch(*args)
    )
    q, k, v = (t.to(cuda, dtype) for t in inputs(queries, keys, 4, 2, dim, sigma=3))
    mask = {"causal": causal, "query_offset": offset}
    lse = attention(q, k, v, **mask).lse
    got, again = (attention_received(q, k, lse, **mask) for _ in range(2))
    assert launches == [1, 1]
    assert torch.equal(got, again)
    wanted = attention_received(q, k, lse, impl="portable", **mask)
    assert_close(got, wanted, bounds(q[:1, :, :300], k[:1])["max_prob"] * queries, "received")
    mean = attention_received(q, k, lse, heads="mean", **mask)
    assert_close(mean, got.mean(1, keepdim=True), 1e-5 * queries, "mean")

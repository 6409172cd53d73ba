"""On a GPU `hopper_lazy` agrees with the float64 reference; Triton cannot interpret it."""

from types import SimpleNamespace

import odd_attention
import odd_cases
import pytest
import torch
from lazy_cases import KEYS, LOW, PADDING, TYPES, hostile

from attentropy import attention
from attentropy.kernels.attention import hopper_lazy_launch
from attentropy.kernels.common.statistics import STATISTICS
from close import assert_close, bounds, inputs


@pytest.fixture
def cuda(monkeypatch):
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("no GPU of compute capability 9.0: the kernel in Gluon ran nowhere")
    monkeypatch.setenv("ATTENTROPY_HOPPER", "lazy")
    return torch.device("cuda")


@pytest.fixture
def launched(monkeypatch):
    """Return a list that gets one entry per launch of the kernel under test."""
    launches, launch = [], hopper_lazy_launch.forward

    def counted(*args):
        launches.append("forward")
        launch(*args)

    monkeypatch.setattr(hopper_lazy_launch, "forward", counted)
    return launches


def _on(cuda, dtype, *shape, **arguments):
    return tuple(t.to(cuda, dtype) for t in inputs(*shape, **arguments))


SETS = {
    "none": (),
    "entropy": ("entropy",),
    "default": ("entropy", "max_prob", "distance", "sink_mass", "top_key"),
    "all": tuple(name for name in STATISTICS if name != "sink_prob"),
}


# Each call is a kernel of its own, which takes seconds to compile: so not all of all.
@pytest.mark.gpu
@pytest.mark.parametrize("stats", SETS)
@pytest.mark.parametrize(
    ("dim", "dtype"),
    [(dim, torch.bfloat16) for dim in (64, 96, 128, 256)] + [(72, torch.float16)],
)
@pytest.mark.parametrize(
    ("causal", "padding"),
    [(True, "none"), (False, "none"), (True, "both"), (False, "left"), (True, "right"),
     (True, "a sequence without a key")],
)  # fmt: skip
def test_the_kernel_matches_the_reference(
    cuda, dim, dtype, causal, padding, stats, launched, poisoned
):
    q, k, v = _on(cuda, dtype, 301, 301, dim=dim, sigma=3)
    arguments = {name: value.to(cuda) for name, value in PADDING[padding].items()}
    if padding in ("none", "both"):
        arguments["sinks"] = torch.tensor([-3.0, 0.0, 2.0, 9.0], device=cuda)
    names = (*SETS[stats], "sink_prob") if stats == "all" and "sinks" in arguments else SETS[stats]
    got = attention(q, k, v, causal=causal, stats=names, **arguments)
    assert launched == ["forward"]
    wanted = attention(q, k, v, causal=causal, stats=(*names, "max_prob"), impl="reference",
                       **arguments)  # fmt: skip
    limits = bounds(q, k) | {"out": TYPES[dtype]}
    for name in ("out", "lse", *(n for n in names if n != "top_key")):
        assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)
    if "top_key" in names:
        assert torch.equal(got.top_key == -1, wanted.top_key == -1)
        clear = wanted.max_prob > 0.55
        assert torch.equal(got.top_key[clear], wanted.top_key[clear])


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128, 256])
@pytest.mark.parametrize("kind", hostile())
def test_the_kernel_sums_hostile_scores(cuda, dim, kind, launched, poisoned):
    scores = hostile()[kind].bfloat16()
    q = torch.zeros(1, 1, 64, dim, device=cuda)
    q[0, 0] = torch.eye(64, dim)
    k = torch.zeros(1, 1, KEYS, dim, device=cuda)
    k[0, 0, :, :64] = scores.T
    q, k = q.bfloat16(), k.bfloat16()
    arguments = {"scale": 1.0, "causal": False}
    got = attention(q, k, k, stats=SETS["all"], **arguments)
    assert launched == ["forward"]
    wanted = attention(q, k, k, stats=SETS["all"], impl="reference", **arguments)
    limits = bounds(q, k, 1.0)
    for name in (*LOW,):
        assert_close(getattr(got, name), getattr(wanted, name), limits[name], name)
    ties = scores == scores.amax(1, keepdim=True)
    assert torch.equal(got.top_key[0, 0].cpu().long(), ties.int().argmax(1))


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128])
@pytest.mark.parametrize("name", ["NaN in a key", "inf in a key", "NaN in padding",
                                  "all scores -inf", "sinks NaN and inf"])  # fmt: skip
def test_the_kernel_passes_odd_values_on(cuda, dim, name, launched):
    q, k, v, arguments = odd_cases.ODD_VALUES[name]()
    pad = (0, dim - q.shape[-1], 0, 130)
    q, k, v = (torch.nn.functional.pad(x, pad).bfloat16() for x in (q, k, v))
    arguments = arguments | {"scale": 0.2}
    on_gpu = {n: x.to(cuda) if isinstance(x, torch.Tensor) else x for n, x in arguments.items()}
    got = attention(q.to(cuda), k.to(cuda), v.to(cuda), stats=SETS["all"], **on_gpu)
    assert launched == ["forward"]
    results = {n: x.cpu() for n, x in vars(got).items() if x is not None}
    odd_attention.check_results(
        SimpleNamespace(**results), "triton", SETS["all"], q, k, v, arguments
    )


@pytest.mark.gpu
@pytest.mark.parametrize("dim", [64, 128])
def test_rows_of_131072_keys_hold_the_bound(cuda, dim, launched, poisoned):
    n = 131_072
    q, k, v = (t[:1, :1].to(cuda).bfloat16() for t in inputs(n, n, 1, 1, dim, sigma=6))
    got, again = (attention(q, k, v, stats=SETS["all"]) for _ in range(2))
    assert launched == ["forward"] * 2
    for name, values in vars(got).items():
        if values is not None:
            assert torch.equal(values, getattr(again, name)), name
    limits = bounds(q[:, :, -8:], k) | {"out": 0.05}
    for first in (n - 8, n // 3):
        rows = slice(first, first + 8)
        wanted = attention(
            q[:, :, rows], k, v, stats=SETS["all"], query_offset=first, impl="reference"
        )
        for name in ("out", *LOW):
            assert_close(getattr(got, name)[:, :, rows], getattr(wanted, name), limits[name], name)
        clear = wanted.max_prob > 0.55
        assert torch.equal(got.top_key[:, :, rows][clear], wanted.top_key[clear])

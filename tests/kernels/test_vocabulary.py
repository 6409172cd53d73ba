"""Portable and triton agree with whole float64 logits, ties included, however they are split."""

import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from torch.utils._python_dispatch import TorchDispatchMode

from attentropy import vocabulary
from attentropy.kernels.common import tiles
from attentropy.kernels.vocabulary import triton_launch as triton_vocabulary
from close import assert_close

CASES = {
    "plain": {},
    "bias": {"bias": 3.0},
    "softcap": {"softcap": 30.0},
    "tight softcap": {"softcap": 3.0, "bias": 1.0},
    "scale": {"scale": 0.25},
    "negative scale": {"scale": -0.7, "bias": 1.0},
    "no scale": {"scale": 0.0},
    "all negative": {"shift": -300.0},
    "large": {"shift": 300.0},
}
SIZES = (768, 32_000, 50_257, 128_256, 129_920, 262_144)

ways = pytest.mark.parametrize(
    ("impl", "device"),
    [
        pytest.param("portable", "cpu", id="portable"),
        pytest.param("triton", "cpu", id="interpreted"),
        pytest.param("triton", "cuda", id="gpu", marks=pytest.mark.gpu),
    ],
)


@pytest.fixture(autouse=True)
def _poisoned(monkeypatch, request):
    """Every buffer that a way gets to fill starts as NaN; those that cannot run are skipped."""
    wanted = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if wanted.get("device") == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device: the kernel ran in Triton's interpreter alone")
    if wanted.get("impl") == "triton" and wanted["device"] == "cpu" and torch.cuda.is_available():
        pytest.skip("a GPU is here: the kernel is compiled, not interpreted")
    empty = torch.empty

    def nan(*args, **kwargs):
        made = empty(*args, **kwargs)
        return made.fill_(math.nan) if made.is_floating_point() else made.fill_(-77)

    monkeypatch.setattr(torch, "empty", nan)


def _inputs(rows, size, dim=24, sigma=1.0):
    random = torch.Generator().manual_seed(rows + size)
    hidden = torch.randn(rows, dim, generator=random) * sigma
    weight = torch.randn(size, dim, generator=random) * 0.5
    targets = torch.randint(0, size, (rows, 2), generator=random)
    return hidden, weight, targets


def _whole_numbers(rows, size, dim=6, seed=0):
    """Inputs whose logits are small whole numbers: exact in every order of sums, and often tied."""
    random = torch.Generator().manual_seed(seed)
    hidden = torch.randint(-2, 3, (rows, dim), generator=random).float()
    weight = torch.randint(-2, 3, (size, dim), generator=random).float()
    return hidden, weight, torch.randint(0, size, (rows, 3), generator=random)


def _to(device, values):
    return {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in values.items()}


def _compare(got, wanted, bound=1e-4):
    for name in ("entropy", "lse", "top_logprobs", "target_logprob", "kl"):
        if getattr(wanted, name) is not None:
            assert_close(getattr(got, name), getattr(wanted, name), bound, name)


def _split(hidden, weight, **given):
    """The kernel with what the public face decides by itself; see `triton_vocabulary`."""
    base = dict.fromkeys(("bias", "softcap", "targets", "final")) | {"scale": 1.0, "top_k": 5}
    return triton_vocabulary.vocabulary(hidden, weight, **base | given)


@ways
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("rows", "size"), [(1, 5), (33, 768), (70, 2047)])
def test_every_statistic_matches(impl, device, case, rows, size):
    hidden, weight, targets = _inputs(rows, size)
    case = dict(case)
    if "bias" in case:
        case["bias"] = torch.randn(size, generator=torch.Generator().manual_seed(1)) * case["bias"]
    if "shift" in case:
        case["bias"] = torch.full((size,), case.pop("shift"))
    final = _inputs(rows, size, sigma=2.0)[0]
    case = _to(device, {"targets": targets, "final": final, **case})
    hidden, weight = hidden.to(device), weight.to(device)
    got = vocabulary(hidden, weight, impl=impl, **case)
    wanted = vocabulary(hidden, weight, impl="reference", **case)
    _compare(got, wanted)
    log_p = vocabulary(hidden, weight, impl="reference", **case | {"targets": got.top_ids.long()})
    assert_close(log_p.target_logprob, wanted.top_logprobs, 1e-4, "top_ids")
    assert (got.target_rank - wanted.target_rank).abs().max() <= 1


@ways
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shift", [0.0, 300.0])
def test_large_and_odd_vocabularies_match(impl, device, size, shift):
    hidden, weight, targets = (t.to(device) for t in _inputs(2, size, dim=16))
    given = {"targets": targets, "bias": torch.full((size,), shift, device=device)}
    got = vocabulary(hidden, weight, impl=impl, **given)
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    _compare(got, wanted)
    near = wanted.top_logprobs.diff(dim=-1).abs().min() < 1e-4
    assert near or torch.equal(got.top_ids, wanted.top_ids)


@ways
@pytest.mark.parametrize("size", SIZES)
def test_ids_and_ranks_are_exact_among_many_ties(impl, device, size):
    hidden, weight, targets = (t.to(device) for t in _whole_numbers(3, size))
    for k in (1, 32) if size == 50_257 else (5,):
        got = vocabulary(hidden, weight, targets=targets, top_k=k, impl=impl)
        wanted = vocabulary(hidden, weight, targets=targets, top_k=k, impl="reference")
        assert torch.equal(got.top_ids, wanted.top_ids)
        assert torch.equal(got.target_rank, wanted.target_rank)


@ways
@pytest.mark.parametrize("rows", [40, 130])
@pytest.mark.parametrize("size", [6, 300, 3001])
def test_ids_and_ranks_are_exact_for_many_rows(impl, device, rows, size):
    hidden, weight, targets = (t.to(device) for t in _whole_numbers(rows, size, seed=rows))
    given = {"targets": targets, "top_k": 5, "bias": weight[:, 0].clone()}
    got = vocabulary(hidden, weight, impl=impl, **given)
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    assert torch.equal(got.top_ids, wanted.top_ids)
    assert torch.equal(got.target_rank, wanted.target_rank)
    _compare(got, wanted)


@ways
@pytest.mark.parametrize("sigma", [0.0, 100.0])
@pytest.mark.parametrize("shift", [0.0, 300.0, -300.0])
def test_uniform_and_one_hot_rows(impl, device, sigma, shift):
    hidden, weight, targets = (t.to(device) for t in _inputs(7, 1000, sigma=sigma))
    given = {"top_k": 8, "bias": torch.full((1000,), shift, device=device), "targets": targets}
    got = vocabulary(hidden, weight, impl=impl, **given)
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    assert_close(got.entropy, wanted.entropy, 1e-4)
    assert (got.entropy >= 0).all()
    if sigma == 0:
        assert got.top_ids.tolist() == [list(range(8))] * 7
        assert torch.equal(got.target_rank.long().cpu(), targets.cpu())


@ways
@pytest.mark.parametrize("shift", [0.0, 300.0, -300.0])
def test_divergence_is_zero_from_itself_and_matches_where_little_or_all_differs(
    impl, device, shift
):
    hidden, weight, _ = (t.to(device) for t in _inputs(9, 5000))
    bias = torch.full((5000,), shift, device=device)
    same = vocabulary(hidden, weight, bias=bias, final=hidden, impl=impl)
    assert_close(same.kl, torch.zeros(9), 1e-5)
    for final in (hidden * 1.01, hidden * 30, -hidden * 3):
        given = {"bias": bias, "final": final}
        got = vocabulary(hidden, weight, impl=impl, **given)
        wanted = vocabulary(hidden, weight, impl="reference", **given)
        assert_close(got.kl, wanted.kl, 1e-4 + 3e-6 * float(wanted.kl.max()))
        assert (got.kl >= 0).all()


@ways
def test_without_top_k_or_targets_the_rest_is_unchanged(impl, device):
    hidden, weight, targets = (t.to(device) for t in _inputs(4, 90))
    wanted = vocabulary(hidden, weight, targets=targets, impl=impl)
    got = vocabulary(hidden, weight, top_k=0, targets=targets, impl=impl)
    assert got.top_ids.shape == got.top_logprobs.shape == (4, 0)
    assert torch.equal(got.entropy, wanted.entropy)
    assert torch.equal(got.target_rank, wanted.target_rank)
    bare = vocabulary(hidden, weight, top_k=0, impl=impl)
    assert bare.target_rank is bare.target_logprob is bare.kl is None
    assert torch.equal(bare.entropy, wanted.entropy)


@ways
def test_ties_go_to_the_lower_id_across_blocks(impl, device):
    hidden, weight = torch.ones(130, 4, device=device), torch.zeros(5000, 4, device=device)
    weight[[17, 800, 801, 4999]] = 1.0
    targets = torch.full((130,), 801, device=device)
    got = vocabulary(hidden, weight, top_k=3, targets=targets, impl=impl)
    assert (got.top_ids.cpu() == torch.tensor([17, 800, 801])).all()
    assert (got.target_rank == 2).all()


@ways
def test_targets_keep_their_shape_and_short_floats_are_taken(impl, device):
    hidden, weight, targets = (t.to(device) for t in _inputs(4, 90))
    short = vocabulary(hidden.half(), weight.half(), targets=targets[:, 0], impl=impl)
    wanted = vocabulary(hidden.half(), weight.half(), targets=targets[:, 0], impl="reference")
    assert short.target_rank.shape == (4,)
    assert short.entropy.dtype == torch.float32
    assert_close(short.entropy, wanted.entropy, 1e-4)
    for shape in ((0, 2), (0,)):
        none = vocabulary(hidden[:0], weight, targets=torch.zeros(shape).long(), impl=impl)
        assert none.entropy.shape == (0,)
        assert none.target_rank.shape == shape
    none = vocabulary(hidden, weight, targets=targets[:, :0], impl=impl)
    assert none.target_rank.shape == (4, 0)


@ways
def test_bfloat16_is_taken_and_its_products_are_exact(impl, device):
    hidden, weight, targets = (t.to(device) for t in _inputs(4, 90))
    hidden, weight = hidden.bfloat16(), weight.bfloat16()
    got = vocabulary(hidden, weight, targets=targets, impl=impl)
    _compare(got, vocabulary(hidden, weight, targets=targets, impl="reference"))


@ways
def test_a_row_that_is_not_a_number_stays_one_and_names_real_ids(impl, device):
    hidden, weight, _ = (t.to(device) for t in _inputs(3, 700))
    hidden[1] = math.nan
    got = vocabulary(hidden, weight, impl=impl)
    assert got.entropy.isnan().tolist() == [False, True, False]
    assert got.top_logprobs[1].isnan().all()
    assert ((got.top_ids >= 0) & (got.top_ids < 700)).all()


@ways
def test_tensors_may_be_strided(impl, device):
    hidden, weight, targets = _whole_numbers(20, 400, dim=40)
    wide = torch.full((400, 81), math.nan)
    wide[:, 1::2] = weight
    tall = hidden.T.contiguous().T
    given = _to(device, {"targets": targets, "final": tall, "bias": wide[:, 1]})
    got = vocabulary(tall.to(device), wide.to(device)[:, 1::2], impl=impl, **given)
    given |= {"impl": "reference"}
    _compare(got, vocabulary(hidden.to(device), weight.to(device), **given))


kernels = pytest.mark.parametrize(("impl", "device"), ways.args[1][1:])


@kernels
@pytest.mark.parametrize("runs", [1, 2, 3, 7, 15])  # of 15 blocks of 64 columns, or 8 of 128
@pytest.mark.parametrize("columns", [64, 128])
def test_runs_merge_exactly(impl, device, runs, columns):
    hidden, weight, targets = (t.to(device) for t in _whole_numbers(70, 900, seed=runs))
    tile = tiles.VocabularyTile(64, columns, 32, warps=4, stages=2)
    final = hidden.flip(0)
    got = _split(hidden, weight, targets=targets, final=final, runs=runs, tile=tile)
    wanted = vocabulary(hidden, weight, targets=targets, final=final, impl="reference")
    for name, value in got.items():
        if value.is_floating_point():
            assert_close(value, getattr(wanted, name), 2e-5, name)
        else:
            assert torch.equal(value, getattr(wanted, name)), name


@kernels
@pytest.mark.parametrize("shift", [0.0, 300.0, -300.0])
def test_runs_of_unlike_size_and_height_merge_exactly(impl, device, shift):
    hidden, weight, targets = (t.to(device) for t in _inputs(5, 1000))
    bias = torch.linspace(-60, 60, 1000, device=device) + shift
    tile = tiles.VocabularyTile(16, 64, 32, warps=4, stages=2)
    given = {"bias": bias, "targets": targets, "final": -hidden}
    got = _split(hidden, weight, runs=6, tile=tile, **given)
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    for name in ("entropy", "lse", "kl", "top_logprobs", "target_logprob"):
        assert_close(got[name], getattr(wanted, name), 1e-4, name)


@kernels
@pytest.mark.parametrize("dim", [8, 40, 64, 136])
def test_block_copies_and_addresses_read_the_same(impl, device, dim):
    hidden, weight, targets = (t.to(device) for t in _whole_numbers(70, 700, dim=dim))
    given = {"targets": targets, "final": hidden.flip(0), "runs": 2}
    copied = _split(hidden, weight, descriptors=True, **given)
    addressed = _split(hidden, weight, descriptors=False, **given)
    for name, value in copied.items():
        assert torch.equal(value, addressed[name]), name


@pytest.mark.skipif(torch.cuda.is_available(), reason="the shapes run compiled above")
@settings(max_examples=15, deadline=None)
@given(
    rows=some.integers(1, 40), size=some.integers(1, 900), dim=some.integers(1, 70),
    k=some.integers(0, 9), runs=some.integers(1, 5), scale=some.sampled_from([1.0, -1.0, 0.5]),
    seed=some.integers(0, 99),
)  # fmt: skip
def test_any_shape_gives_exact_ids_and_ranks(rows, size, dim, k, runs, scale, seed):
    hidden, weight, targets = _whole_numbers(rows, size, dim, seed)
    tile = tiles.VocabularyTile(16, 128, 32, warps=1, stages=1)
    given = {"targets": targets, "top_k": min(k, size), "scale": scale, "final": hidden.flip(0)}
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    portable = vars(vocabulary(hidden, weight, impl="portable", **given))
    for got in (portable, _split(hidden, weight, runs=runs, tile=tile, **given)):
        for name in ("top_ids", "target_rank"):
            assert torch.equal(got[name], getattr(wanted, name)), name
        for name in ("entropy", "lse", "kl", "top_logprobs", "target_logprob"):
            assert_close(got[name], getattr(wanted, name), 1e-4, name)


def test_runs_fill_the_device_for_one_row_and_for_many():
    tile = tiles.VocabularyTile(128, 256, 64, warps=8, stages=4)
    device = {"processors": 132, "cache": 50 * 2**20}

    def runs(rows, dim=4096, size=128_256, top_k=5):
        blocks, columns = -(-rows // 128), -(-size // 256)
        part, block = rows * (24 + 8 * top_k), 128 * dim * 2
        found = triton_vocabulary.runs_for(blocks, columns, tile, part=part, block=block, **device)
        slowest = -(-blocks * found // 132) * -(-columns // found)
        return found, blocks * columns / 132 / slowest, found * part

    for rows in (1, 128, 1024, 4096, 32_768):
        found, share, workspace = runs(rows)
        assert share > 0.85, (rows, found)
        assert workspace < 64 * 2**20
    assert runs(1)[0] > 60
    # Rows that run together stay in the cache, and the workspace bounds the runs all the same.
    assert 132 / runs(32_768)[0] * 128 * 4096 * 2 < 50 * 2**20
    assert runs(262_144, top_k=32)[0] == 1


class _Largest(TorchDispatchMode):
    """Keeps the size in bytes of the largest tensor that any step makes."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(one, torch.Tensor):
                self.bytes = max(self.bytes, one.untyped_storage().nbytes())
        return made


@pytest.mark.parametrize(("rows", "size"), [(3, 400_000), (1100, 40_000)])
def test_portable_makes_no_array_larger_than_its_blocks(rows, size):
    hidden, weight, targets = _inputs(rows, size, dim=3)
    with _Largest() as largest:
        vocabulary(hidden, weight, targets=targets, final=hidden, impl="portable")
    assert largest.bytes <= 6 * 2**20
    assert rows == 3 or largest.bytes < rows * size * 4 / 20


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"top_k": -1}, ValueError, "top_k"),
        ({"top_k": 91}, ValueError, "top_k"),
        ({"targets": torch.tensor([0, 0, 0, 90])}, ValueError, "target"),
        ({"targets": torch.zeros(3, dtype=torch.long)}, ValueError, "targets"),
        ({"targets": torch.zeros(4)}, TypeError, "ids"),
        ({"final": torch.zeros(3, 24)}, ValueError, "final"),
        ({"bias": torch.zeros(3)}, ValueError, "bias"),
        ({"softcap": 0.0}, ValueError, "softcap"),
        ({"top_k": 33, "impl": "triton"}, NotImplementedError, "over 32; use 'portable'"),
        ({"final": torch.zeros(4, 24).half(), "impl": "triton"}, NotImplementedError, "types"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, error, words):
    hidden, weight, _ = _inputs(4, 90)
    with pytest.raises(error, match=words) as caught:
        vocabulary(hidden, weight, **change)
    assert "\n" not in str(caught.value)


_NO_GPU = """
import torch
from attentropy import vocabulary
try:
    vocabulary(torch.zeros(2, 4), torch.zeros(9, 4), impl="triton")
except ValueError as error:
    print(error)
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_and_the_interpreter_triton_says_what_to_use(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", _NO_GPU], capture_output=True, text=True, check=True
    )
    assert "use 'portable'" in done.stdout

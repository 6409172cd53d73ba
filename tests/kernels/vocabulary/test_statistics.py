"""Portable and triton agree with float64 logits in memory, ties included."""

import math

import pytest
import torch

from attentropy import vocabulary
from attentropy.kernels.common import tiles
from close import assert_close
from grids import diagonal, pairwise
from vocabulary_cases import compare, random_inputs, to_device, ways, whole_numbers

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


@ways
@diagonal({"rows,size": [(33, 768), (1, 5), (70, 2047)], "case": CASES})
def test_every_statistic_matches(impl, device, case, rows, size):
    hidden, weight, targets = random_inputs(rows, size)
    case = dict(case)
    if "bias" in case:
        case["bias"] = torch.randn(size, generator=torch.Generator().manual_seed(1)) * case["bias"]
    if "shift" in case:
        case["bias"] = torch.full((size,), case.pop("shift"))
    final = random_inputs(rows, size, sigma=2.0)[0]
    case = to_device(device, {"targets": targets, "final": final, **case})
    hidden, weight = hidden.to(device), weight.to(device)
    got = vocabulary(hidden, weight, impl=impl, **case)
    wanted = vocabulary(hidden, weight, impl="reference", **case)
    compare(got, wanted)
    log_p = vocabulary(hidden, weight, impl="reference", **case | {"targets": got.top_ids.long()})
    assert_close(log_p.target_logprob, wanted.top_logprobs, 1e-4, "top_ids")
    assert (got.target_rank - wanted.target_rank).abs().max() <= 1


@pytest.fixture
def _few_wide_blocks(monkeypatch):
    """Let the interpreter take few rows in few blocks, each of as many features as they have."""
    few = tiles.VocabularyTile(4, 16_384, 16, warps=1, stages=1)
    monkeypatch.setitem(tiles._VOCABULARY["interpreter"], "few", few)


@ways
@diagonal({"shift": [0.0, 300.0], "size": SIZES})
@pytest.mark.usefixtures("_few_wide_blocks")
def test_large_and_odd_vocabularies_match(impl, device, size, shift):
    hidden, weight, targets = (t.to(device) for t in random_inputs(2, size, dim=16))
    arguments = {"targets": targets, "bias": torch.full((size,), shift, device=device)}
    got = vocabulary(hidden, weight, impl=impl, **arguments)
    wanted = vocabulary(hidden, weight, impl="reference", **arguments)
    compare(got, wanted)
    near = wanted.top_logprobs.diff(dim=-1).abs().min() < 1e-4
    assert near or torch.equal(got.top_ids, wanted.top_ids)


@ways
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("_few_wide_blocks")
def test_ids_and_ranks_are_exact_among_many_ties(impl, device, size):
    hidden, weight, targets = (t.to(device) for t in whole_numbers(3, size))
    for k in (1, 32) if size == 50_257 else (5,):
        got = vocabulary(hidden, weight, targets=targets, top_k=k, impl=impl)
        wanted = vocabulary(hidden, weight, targets=targets, top_k=k, impl="reference")
        assert torch.equal(got.top_ids, wanted.top_ids)
        assert torch.equal(got.target_rank, wanted.target_rank)


@ways
@pytest.mark.parametrize("rows", [40, 130])
@pytest.mark.parametrize("size", [6, 300, 3001])
def test_ids_and_ranks_are_exact_for_many_rows(impl, device, rows, size):
    hidden, weight, targets = (t.to(device) for t in whole_numbers(rows, size, seed=rows))
    arguments = {"targets": targets, "top_k": 5, "bias": weight[:, 0].clone()}
    got = vocabulary(hidden, weight, impl=impl, **arguments)
    wanted = vocabulary(hidden, weight, impl="reference", **arguments)
    assert torch.equal(got.top_ids, wanted.top_ids)
    assert torch.equal(got.target_rank, wanted.target_rank)
    compare(got, wanted)


@ways
@pairwise({"shift": [0.0, 300.0, -300.0], "sigma": [0.0, 100.0]})
def test_uniform_and_one_hot_rows(impl, device, sigma, shift):
    hidden, weight, targets = (t.to(device) for t in random_inputs(7, 1000, sigma=sigma))
    arguments = {"top_k": 8, "bias": torch.full((1000,), shift, device=device), "targets": targets}
    got = vocabulary(hidden, weight, impl=impl, **arguments)
    wanted = vocabulary(hidden, weight, impl="reference", **arguments)
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
    hidden, weight, _ = (t.to(device) for t in random_inputs(9, 5000))
    bias = torch.full((5000,), shift, device=device)
    same = vocabulary(hidden, weight, bias=bias, final=hidden, impl=impl)
    assert_close(same.kl, torch.zeros(9), 1e-5)
    for final in (hidden * 1.01, hidden * 30, -hidden * 3):
        arguments = {"bias": bias, "final": final}
        got = vocabulary(hidden, weight, impl=impl, **arguments)
        wanted = vocabulary(hidden, weight, impl="reference", **arguments)
        assert_close(got.kl, wanted.kl, 1e-4 + 3e-6 * float(wanted.kl.max()))
        assert (got.kl >= 0).all()


@ways
@pytest.mark.parametrize("size", [90, 2047])
@pytest.mark.parametrize(("layers", "rows"), [(1, 9), (3, 7), (40, 2), (5, 0)])
def test_rows_of_several_layers_share_the_last_layers_rows(impl, device, layers, rows, size):
    hidden, weight, targets = (t.to(device) for t in random_inputs(layers * rows, size))
    final = hidden[len(hidden) - rows :].clone() * 1.5
    got = vocabulary(hidden, weight, targets=targets, final=final, impl=impl)
    repeated = {"targets": targets, "final": final.repeat(layers, 1), "impl": "reference"}
    wanted = vocabulary(hidden, weight, **repeated)
    compare(got, wanted)
    compare(vocabulary(hidden, weight, targets=targets, final=final, impl="reference"), wanted)
    assert got.kl.shape == (layers * rows,)


@ways
def test_without_top_k_or_targets_the_rest_is_unchanged(impl, device):
    hidden, weight, targets = (t.to(device) for t in random_inputs(4, 90))
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
    hidden, weight, targets = (t.to(device) for t in random_inputs(4, 90))
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
    hidden, weight, targets = (t.to(device) for t in random_inputs(4, 90))
    hidden, weight = hidden.bfloat16(), weight.bfloat16()
    got = vocabulary(hidden, weight, targets=targets, impl=impl)
    compare(got, vocabulary(hidden, weight, targets=targets, impl="reference"))


@ways
def test_a_row_that_is_not_a_number_stays_one_and_names_real_ids(impl, device):
    hidden, weight, _ = (t.to(device) for t in random_inputs(3, 700))
    hidden[1] = math.nan
    got = vocabulary(hidden, weight, impl=impl)
    assert got.entropy.isnan().tolist() == [False, True, False]
    assert got.top_logprobs[1].isnan().all()
    assert ((got.top_ids >= 0) & (got.top_ids < 700)).all()


@ways
def test_tensors_may_be_strided(impl, device):
    hidden, weight, targets = whole_numbers(20, 400, dim=40)
    wide = torch.full((400, 81), math.nan)
    wide[:, 1::2] = weight
    tall = hidden.T.contiguous().T
    arguments = to_device(device, {"targets": targets, "final": tall, "bias": wide[:, 1]})
    got = vocabulary(tall.to(device), wide.to(device)[:, 1::2], impl=impl, **arguments)
    arguments |= {"impl": "reference"}
    compare(got, vocabulary(hidden.to(device), weight.to(device), **arguments))

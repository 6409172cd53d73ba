"""The portable vocabulary agrees with whole float64 logits, in a small workspace."""

import pytest
import torch

from attentropy import vocabulary
from close import assert_close

CASES = {
    "plain": {},
    "softcap": {"softcap": 30.0},
    "scale": {"scale": 0.25},
    "negative": {"shift": -300.0},
    "large": {"shift": 300.0},
}


def _inputs(rows, size, dim=48, sigma=1.0):
    random = torch.Generator().manual_seed(rows + size)
    hidden = torch.randn(rows, dim, generator=random) * sigma
    return hidden, torch.randn(size, dim, generator=random) * 0.5


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(("rows", "size"), [(1, 5), (33, 768), (600, 257), (3, 50_257)])
def test_every_statistic_matches(case, rows, size):
    hidden, weight = _inputs(rows, size)
    case = dict(case)
    bias = None if "shift" not in case else torch.full((size,), case.pop("shift"))
    targets = torch.randint(0, size, (rows, 3), generator=torch.Generator().manual_seed(0))
    final = _inputs(rows, size, sigma=2.0)[0]
    given = {"bias": bias, "top_k": 5, "targets": targets, "final": final, **case}
    got = vocabulary(hidden, weight, **given)
    wanted = vocabulary(hidden, weight, impl="reference", **given)
    for name in ("entropy", "top_logprobs", "target_logprob", "lse", "kl"):
        assert_close(getattr(got, name), getattr(wanted, name), 1e-4, name)
    log_p = vocabulary(hidden, weight, impl="reference", **given | {"targets": got.top_ids.long()})
    assert_close(log_p.target_logprob, wanted.top_logprobs, 1e-4, "top_ids")
    assert (got.target_rank - wanted.target_rank).abs().max() <= 1


@pytest.mark.parametrize("sigma", [0.0, 100.0])
def test_uniform_and_one_hot_rows(sigma):
    hidden, weight = _inputs(7, 1000, sigma=sigma)
    got = vocabulary(hidden, weight, top_k=8)
    wanted = vocabulary(hidden, weight, top_k=8, impl="reference")
    assert_close(got.entropy, wanted.entropy, 1e-4)
    assert (got.entropy >= 0).all()
    if sigma == 0:
        assert got.top_ids.tolist() == [list(range(8))] * 7


@pytest.mark.parametrize("shift", [0.0, 300.0, -300.0])
def test_divergence_is_zero_from_itself_and_matches_where_little_or_all_differs(shift):
    hidden, weight = _inputs(9, 5000)
    bias = torch.full((5000,), shift)
    same = vocabulary(hidden, weight, bias=bias, final=hidden)
    assert_close(same.kl, torch.zeros(9), 1e-5)
    for final in (hidden * 1.01, hidden * 30, -hidden * 3):
        got = vocabulary(hidden, weight, bias=bias, final=final)
        wanted = vocabulary(hidden, weight, bias=bias, final=final, impl="reference")
        bound = 1e-4 + 3e-6 * float(wanted.kl.max())
        assert_close(got.kl, wanted.kl, bound)
        assert (got.kl >= 0).all()


def test_no_top_k_is_none_and_changes_nothing_else():
    hidden, weight = _inputs(4, 90)
    for impl in ("portable", "reference"):
        targets = torch.arange(4)
        got = vocabulary(hidden, weight, top_k=0, targets=targets, impl=impl)
        assert got.top_ids.shape == got.top_logprobs.shape == (4, 0)
        wanted = vocabulary(hidden, weight, targets=targets, impl=impl)
        assert torch.equal(got.entropy, wanted.entropy)
        assert torch.equal(got.target_rank, wanted.target_rank)


def test_ties_go_to_the_lower_id_across_blocks():
    hidden = torch.ones(2000, 4)
    weight = torch.zeros(5000, 4)
    weight[[17, 800, 801, 4999]] = 1.0
    got = vocabulary(hidden, weight, top_k=3, targets=torch.full((2000,), 801))
    assert (got.top_ids == torch.tensor([17, 800, 801])).all()
    assert (got.target_rank == 2).all()


def test_targets_keep_their_shape_and_short_floats_are_taken():
    hidden, weight = _inputs(4, 90)
    got = vocabulary(hidden.bfloat16(), weight.bfloat16(), targets=torch.zeros(4, dtype=torch.long))
    assert got.target_rank.shape == (4,)
    assert got.entropy.dtype == torch.float32
    none = vocabulary(hidden[:0], weight, targets=torch.zeros(0, 2, dtype=torch.long))
    assert none.entropy.shape == (0,)
    assert none.target_rank.shape == (0, 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"top_k": -1}, "top_k"),
        ({"final": torch.zeros(3, 48)}, "final"),
        ({"top_k": 91}, "top_k"),
        ({"targets": torch.tensor([0, 0, 0, 90])}, "target"),
        ({"targets": torch.zeros(3, dtype=torch.long)}, "targets"),
        ({"bias": torch.zeros(3)}, "bias"),
        ({"softcap": 0.0}, "softcap"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        vocabulary(*_inputs(4, 90), **change)

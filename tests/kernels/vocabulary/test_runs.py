"""The vocabulary kernel gives the same numbers however the vocabulary is cut into runs."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from attentropy import vocabulary
from attentropy.kernels.common import tiles
from attentropy.kernels.vocabulary import triton_launch
from close import assert_close
from grids import diagonal
from vocabulary_cases import random_inputs, ways, whole_numbers


def _split(hidden, weight, **arguments):
    """Call the kernel with the choices that `vocabulary` otherwise makes; see `triton_launch`."""
    base = dict.fromkeys(("bias", "softcap", "targets", "final")) | {"scale": 1.0, "top_k": 5}
    return triton_launch.vocabulary(hidden, weight, **base | arguments)


kernels = pytest.mark.parametrize(("impl", "device"), ways.args[1][1:])


@kernels
# Runs of 15 blocks of 64 columns, or of 8 blocks of 128.
@diagonal({"columns": [64, 128], "runs": [1, 2, 3, 7, 15]})
def test_runs_merge_exactly(impl, device, runs, columns):
    hidden, weight, targets = (t.to(device) for t in whole_numbers(40, 900, seed=runs))
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
    hidden, weight, targets = (t.to(device) for t in random_inputs(5, 1000))
    bias = torch.linspace(-60, 60, 1000, device=device) + shift
    tile = tiles.VocabularyTile(16, 64, 32, warps=4, stages=2)
    arguments = {"bias": bias, "targets": targets, "final": -hidden}
    got = _split(hidden, weight, runs=6, tile=tile, **arguments)
    wanted = vocabulary(hidden, weight, impl="reference", **arguments)
    for name in ("entropy", "lse", "kl", "top_logprobs", "target_logprob"):
        assert_close(got[name], getattr(wanted, name), 1e-4, name)


@kernels
@pytest.mark.parametrize("dim", [8, 40, 64, 136])
def test_block_copies_and_addresses_read_the_same(impl, device, dim):
    hidden, weight, targets = (t.to(device) for t in whole_numbers(70, 700, dim=dim))
    arguments = {"targets": targets, "final": hidden.flip(0), "runs": 2}
    copied = _split(hidden, weight, descriptors=True, **arguments)
    addressed = _split(hidden, weight, descriptors=False, **arguments)
    for name, value in copied.items():
        assert torch.equal(value, addressed[name]), name


SHAPES = {
    "rows": some.integers(1, 40), "size": some.integers(1, 900), "dim": some.integers(1, 70),
    "k": some.integers(0, 9), "runs": some.integers(1, 5),
    "scale": some.sampled_from([1.0, -1.0, 0.5]), "seed": some.integers(0, 99),
}  # fmt: skip
not_on_a_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the shapes run compiled above")


@not_on_a_gpu
@settings(max_examples=5, deadline=None, derandomize=True)
@given(**SHAPES)
def test_any_shape_gives_exact_ids_and_ranks(**shape):
    _check_any_shape(**shape)


@not_on_a_gpu
@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(**SHAPES)
def test_many_shapes_give_exact_ids_and_ranks(**shape):
    _check_any_shape(**shape)


def _check_any_shape(rows, size, dim, k, runs, scale, seed):
    hidden, weight, targets = whole_numbers(rows, size, dim, seed)
    tile = tiles.VocabularyTile(16, 128, 32, warps=1, stages=1)
    arguments = {"targets": targets, "top_k": min(k, size), "scale": scale, "final": hidden.flip(0)}
    wanted = vocabulary(hidden, weight, impl="reference", **arguments)
    portable = vars(vocabulary(hidden, weight, impl="portable", **arguments))
    for got in (portable, _split(hidden, weight, runs=runs, tile=tile, **arguments)):
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
        count = triton_launch.choose_runs(blocks, columns, tile, part=part, block=block, **device)
        slowest = -(-blocks * count // 132) * -(-columns // count)
        return count, blocks * columns / 132 / slowest, count * part

    for rows in (1, 128, 1024, 4096, 32_768):
        count, share, workspace = runs(rows)
        assert share > 0.85, (rows, count)
        assert workspace < 64 * 2**20
    assert runs(1)[0] > 60
    # Rows that run together stay in the cache, and the workspace bounds the runs all the same.
    assert 132 / runs(32_768)[0] * 128 * 4096 * 2 < 50 * 2**20
    assert runs(262_144, top_k=32)[0] == 1

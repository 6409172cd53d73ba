"""The lens reads the selected layers and positions, or as many as its budget allows."""

from itertools import pairwise

import pytest

from attentropy.engine.arguments import read_selection
from attentropy.engine.errors import UsageError
from attentropy.engine.lens.budget import (
    REHEARSED_POSITIONS,
    LensSize,
    latest_positions,
    read_sites,
    sample_positions,
)
from attentropy.engine.selection import select

LLAMA_8B = LensSize(
    width=4096, vocabulary=128_256, layers=32, sites=1, parameters=8_030_261_248, itemsize=2
)


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("0,5,10:", [0, 5, 10, 11]),
        ("-4:", [8, 9, 10, 11]),
        ("0:100", list(range(12))),
        (" 3 , 3,2:4", [2, 3]),
        ("-1", [11]),
        ("all", list(range(12))),
        (":", list(range(12))),
        ("template", [1, 7]),
        ("template,-2:", [1, 7, 10, 11]),
    ],
)
def test_a_selection_reads_as_python_does(text, indices):
    assert select(text, 12, "lens_positions", {"template": [1, 7]}) == indices


@pytest.mark.parametrize(
    "text", ["", "x", "1-3", "1:2:3:4", "1:2:0", "1.5", "0,", "0x1", "template", "١:"]
)
def test_a_selection_that_is_none_is_named(text):
    with pytest.raises(UsageError, match=r"`lens_layers` must be numbers, a slice, a string"):
        read_selection(text, "lens_layers")


@pytest.mark.parametrize(
    ("text", "message"), [("12", "0 to 11"), ("-13", "0 to 11"), ("12:", "selects nothing")]
)
def test_a_selection_of_nothing_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        select(text, 12, "lens_layers")


def test_sites_come_in_one_order():
    assert read_sites(["mlp", "residual"]) == ("residual", "mlp")
    with pytest.raises(UsageError, match=r"`lens` must be one or more of residual, .* not 'head'"):
        read_sites(["head"])


def test_the_cost_is_that_of_the_matrix_products():
    cost = LLAMA_8B.cost(2000, 4000)
    product = 2 * 4096 * 128_256
    assert cost.flops == product * (2000 * 32 * 2 + 1024 * 32 + 2000)
    assert cost.forward_flops == 2 * 8_030_261_248 * 4000
    assert cost.kept_bytes == 32 * 2000 * 4096 * 2


@pytest.mark.parametrize("tokens", [1, 1024, 1025, 5000, 131_072])
def test_the_default_is_the_most_positions_that_the_budget_allows(tokens):
    n = LLAMA_8B.budget(tokens)  # whose vocabulary is too large to be read whole
    assert n >= min(tokens, REHEARSED_POSITIONS)
    if n > REHEARSED_POSITIONS:
        cost = LLAMA_8B.cost(n, tokens)
        assert cost.flops <= cost.forward_flops
        assert cost.kept_bytes <= 2 * 2**30
    if n < tokens:
        more = LLAMA_8B.cost(n + 1, tokens)
        assert more.flops > more.forward_flops or more.kept_bytes > 2 * 2**30


@pytest.mark.parametrize(
    ("vocabulary", "tokens", "is_whole"),
    [(32_000, 8192, True), (32_000, 8193, False), (128_256, 8192, False)],
)
def test_up_to_8192_positions_are_all_read_where_the_pass_costs_more(vocabulary, tokens, is_whole):
    size = LensSize(4096, vocabulary, layers=32, sites=1, parameters=7_240_000_000, itemsize=2)
    products = 2 * 4096 * vocabulary * 32 * tokens
    assert (products <= size.cost(tokens, tokens).forward_flops) == (vocabulary == 32_000)
    assert (size.budget(tokens) == tokens) == is_whole


def test_a_model_that_costs_more_than_its_lens_is_read_whole():
    deep = LensSize(128, 1000, layers=8, sites=1, parameters=10**9, itemsize=2)
    assert deep.budget(100_000) == 100_000


def test_a_sample_holds_template_and_tail_and_is_even_elsewhere():
    roles = ["bos", "template", *["content"] * 9000, *["template"] * 4]
    positions = sample_positions(roles, 1000)
    assert len(positions) == len(set(positions)) == 1000
    assert positions == sorted(positions)
    assert set(positions) >= {0, 1, *range(len(roles) - 4, len(roles))}
    assert set(positions) >= set(latest_positions(roles, 500))
    spread = [i for i in positions if i not in set(latest_positions(roles, 500))]
    gaps = [b - a for a, b in pairwise(spread)]
    assert len(spread) == 500
    assert max(gaps) - min(gaps) <= 1
    assert sample_positions(roles, len(roles)) == list(range(len(roles)))


def test_of_a_template_longer_than_the_sample_the_latest_tokens_are_kept():
    roles = ["template"] * 3000
    assert set(sample_positions(roles, 100)) >= set(range(2950, 3000))

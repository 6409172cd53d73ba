"""Counts, shares and signed values as people write them."""

import numpy as np
import pytest

from attentropy.report.units import (
    count,
    equals_probability,
    error_bound,
    number_against,
    percent,
    percent_against,
    probability,
    signed,
)  # fmt: skip


def test_singular_and_plural_follow_the_number():
    assert [count(n, "token") for n in (0, 1, 2, 2048)] == [
        "0 tokens", "1 token", "2 tokens", "2,048 tokens",
    ]  # fmt: skip
    assert [count(n, "query", "queries") for n in (1, 2)] == ["1 query", "2 queries"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "< 0.1 %"), (0.003, "0.3 %"), (0.02, "2 %"), (0.054, "5.4 %"),
     (0.0997, "10 %"), (0.25, "25 %"), (0.999, "100 %"), (1, "100 %"), (2.44, "244 %")],
)  # fmt: skip
def test_a_share_is_written_with_as_many_digits_as_it_deserves(share, text):
    assert percent(share) == text


def test_a_signed_value_that_is_written_as_zero_has_no_sign():
    assert [signed(v) for v in (0.5, -0.5, 0.001, -0.001, 0.0)] == [
        "+0.50", "−0.50", "0.00", "0.00", "0.00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "text"), [(0.0141, "0.02"), (0.02, "0.02"), (0.00096, "0.001"), (3.1e-5, "4e-05")]
)
def test_a_rounding_error_is_never_understated(error, text):
    assert error_bound(error) == text


@pytest.mark.parametrize("limit", [0.05, 0.1, 0.3, 0.5, 0.9])
def test_a_number_next_to_its_limit_reads_as_it_compares(limit):
    random = np.random.default_rng(0)
    near = limit + np.array([0.0, 1e-7, -1e-7, 4e-3, -4e-3, 0.049, -0.049])
    for value in (*near.tolist(), *random.random(200).tolist()):
        for text in (number_against(value, limit), signed(-value, limit=limit).lstrip("−")):
            written = float(text)
            assert (written > limit, written < limit) == (value > limit, value < limit) or (
                text == "0.00" and value < 0.005
            )
        share = percent_against(value, limit)
        if not share.startswith("<"):
            written = float(share.removesuffix(" %"))
            assert (written > 100 * limit) == (value > limit) or value == limit
            assert (written < 100 * limit) == (value < limit) or value == limit
    assert (number_against(0.87, 0.9), number_against(0.8996, 0.9)) == ("0.87", "0.8996")
    assert percent_against(0.0499, 0.05) == "4.99 %"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.00"),
        (0.9995, "0.9995"),
        (0.99999, "> 0.9999"),
        (0.994, "0.99"),
        (1e-4, "< 0.001"),
    ],
)
def test_a_probability_is_one_only_where_nothing_else_is_possible(value, text):
    assert probability(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.65, "p = 0.65"), (1e-9, "p < 0.001"), (1 - 1e-9, "p > 0.9999")]
)
def test_a_bound_of_a_probability_takes_the_place_of_the_equals_sign(value, text):
    assert equals_probability(value) == text

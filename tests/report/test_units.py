"""Counts, shares and signed values as people write them."""

import pytest

from attentropy.report.units import count, error_bound, percent, signed


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

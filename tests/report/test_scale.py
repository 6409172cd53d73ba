"""A scale has colours, and words for them, at its ends, in its middle and beyond its ends."""

import numpy as np
import pytest

from attentropy.report.palette import MISSING, colors
from attentropy.report.scale import Scale

NATS = Scale(0.0, 2.8, "nats")
RANKS = Scale(0.0, 1999.0, "", 0, "logarithmic")
SIGNED = Scale(-1.5, 1.5, "nats", 1, "diverging")


@pytest.mark.parametrize("scale", [NATS, RANKS, SIGNED, Scale(2.0, 6.0)])
def test_the_ends_and_the_middle_are_where_the_legend_says(scale):
    values = np.array([scale.low, scale.middle, scale.high])
    np.testing.assert_allclose(scale.at(values), [0, 0.5, 1], atol=1e-12)
    assert [text for _, text in scale.ticks()] == [scale.text(value) for value in values]


@pytest.mark.parametrize("scale", [NATS, RANKS, SIGNED])
def test_what_is_out_of_range_takes_the_ends_colour_and_a_missing_value_none(scale):
    at = scale.at(np.array([scale.low - 9, scale.high + 9, np.nan]))
    np.testing.assert_array_equal(at, [0, 1, np.nan])


def test_no_difference_is_the_middles_white():
    assert tuple(colors(SIGNED.at(np.zeros(1)), 0, 1)[0]) == (0xF7, 0xF7, 0xF7)
    assert SIGNED.words() == "blue −1.5, white 0.0 (no difference), red +1.5 nats"


def test_a_palettes_colours_are_called_by_their_own_names():
    assert NATS.words("cividis").startswith("dark blue 0.0, grey ")
    shown = colors(np.array([0.0, 0.5, 1.0]), 0, 1, "cividis").astype(int)
    assert shown[0].argmax() == 2  # blue
    assert np.ptp(shown[1]) < 20  # grey
    assert shown[1].max() < int(
        MISSING[1:3], 16
    )  # and darker than the colour that is called light grey
    assert shown[2, :2].min() > 3 * shown[2, 2]  # yellow


def test_ranks_are_said_to_be_on_a_logarithmic_scale():
    assert RANKS.words() == "blue 0, white 44, red 1999 on a logarithmic scale"
    assert Scale(0.0, 128_255.0, "", 0, "logarithmic").ticks()[2] == (1.0, "128k")

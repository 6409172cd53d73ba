"""A scale has colours, and words for them, at its ends, in its middle and beyond its ends."""

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.palette import MISSING, colors
from attentropy.report.read.plane_statistics import offered_statistics, statistics_of
from attentropy.report.read.views import fitted, read_view
from attentropy.report.scale import Scale
from complete import complete
from traces import synthetic

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


@pytest.mark.parametrize(
    ("low", "high", "ticks", "words"),
    [
        (0, 2.8, ["0.0", "1.4", "2.8"], "blue 0.0, white 1.4, red 2.8 nats"),
        (0, 5, ["0.0", "2.5", "5.0"], "blue 0.0, white 2.5, red 5.0 nats"),
        (0, 2, ["0.0", "1.0", "≥ 2.0"], "blue 0.0, white 1.0, red 2.0 nats and above"),
        (1, 5, ["≤ 1.0", "3.0", "5.0"], "blue 1.0 and below, white 3.0, red 5.0 nats"),
        (
            0.25, 0.5, ["≤ 0.250", "0.375", "≥ 0.500"],
            "blue 0.250 and below, white 0.375, red 0.500 nats and above",
        ),
    ],
)  # fmt: skip
def test_a_fixed_range_says_which_values_it_cuts(low, high, ticks, words):
    scale = NATS.between(low, high)
    assert [text for _, text in scale.ticks()] == ticks
    assert scale.words() == words


@pytest.mark.parametrize(
    ("scale", "low", "high"),
    [(NATS, 2, 2), (NATS, 3, 1), (NATS, 0, np.inf), (NATS, np.nan, 1), (SIGNED, -1, 2),
     (RANKS, -1, 10)],
)  # fmt: skip
def test_a_range_that_no_scale_can_have_is_refused(scale, low, high):
    with pytest.raises(UsageError, match="`range`"):
        scale.between(low, high)


DARK_BLUE = (0x21, 0x66, 0xAC)


@pytest.mark.parametrize("palette", ["diverging", "cividis"])
def test_certain_is_the_same_dark_blue_in_every_statistic(palette):
    certain = {
        "entropy": 0, "normalized_entropy": 0, "lens_kl": 0, "lens_rank": 1, "probability": 1,
        "max_prob": 1, "sink_mass": 1, "distance": np.inf,
    }  # fmt: skip
    trace = synthetic()
    scales = {}
    for name in ("lens", "attention"):
        view = read_view(trace, name)
        scales[name] = view.scale
        scales |= {one.name: one.scale for one in offered_statistics(trace, view)}
    dark = {"diverging": DARK_BLUE, "cividis": tuple(colors(np.zeros(1), 0, 1, "cividis")[0])}
    for name, scale in scales.items():
        value = np.array([certain.get(name, 0)])
        assert tuple(scale.colors(value, palette)[0]) == dark[palette], name
        ramp = scale.ramp(palette)
        assert ramp[0 if scale.dark == "low" else -1] < ramp[-1 if scale.dark == "low" else 0]


def test_only_entropies_and_differences_have_two_hues():
    trace = synthetic()
    for name in ("lens", "attention"):
        for one in offered_statistics(trace, read_view(trace, name)):
            two = one.scale.map_name("diverging") == "diverging"
            assert two == (one.name == "normalized_entropy")


@pytest.mark.parametrize(
    ("largest", "high", "words"),
    [
        (4.7, 5.0, "fitted: 0 to 5 of 7.3 nats"),
        (4.5, 4.5, "fitted: 0 to 4.5 of 7.3 nats"),
        (0.0, 0.5, "fitted: 0 to 0.5 of 7.3 nats"),
        (7.2, 7.3, ""),
    ],
)
def test_a_fitted_scale_ends_at_half_a_nat_and_says_of_what(largest, high, words):
    scale = Scale(0.0, 7.3, "nats").fit(largest)
    assert (scale.high, scale.fit_words) == (high, words)
    assert (f"({words})" in scale.words()) == bool(words)


def test_the_words_at_the_ends_are_true_of_the_ends():
    scale = Scale(0.0, 7.3, "nats", ends=("certain", "any token alike"))
    assert scale.fit(4.7).ends == ("certain", "largest shown")
    assert scale.between(0.0, 5.0).ends == ("certain", "")
    assert scale.between(1.0, 7.3).ends == ("", "any token alike")
    both = ("B more certain", "A more certain")
    assert Scale(-3, 3, "nats", kind="diverging", ends=both).between(-1, 1).ends == both


def test_a_page_opens_fitted_where_a_quarter_of_the_range_is_empty():
    trace = synthetic()
    values = trace.dataset["lens_entropy"].values
    view = read_view(trace, "lens")
    assert fitted(view).scale == view.scale  # its values reach to the end
    values[:] = np.minimum(values, 5.4)
    assert fitted(read_view(trace, "lens")).scale.high == 5.5
    values[:] = np.minimum(values, 5.6)
    values[0, 0, 0] = 5.6  # 6 of 7.6 nats are more than three quarters
    assert not fitted(read_view(trace, "lens")).scale.fitted


@pytest.mark.parametrize("values", [(-7.4, 46.6), (-3.2, -0.5), (0.0, 0.0), (np.nan, np.nan)])
def test_scores_lie_within_a_scale_that_holds_zero(values):
    trace = complete()
    scores = np.resize(np.float32(values), trace["max_logit"].shape)
    changed = Trace(
        trace.dataset.assign(max_logit=(("layer", "head", "query"), scores)), trace.sources
    )
    (scale,) = (one.scale for one in statistics_of(changed, "attention") if one.name == "max_logit")
    assert scale.low <= min(0, np.nan_to_num(values).min())
    assert scale.low < scale.high
    assert scale.high >= np.nan_to_num(values).max()

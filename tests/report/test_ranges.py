"""Scales cut nothing by default; a fixed range is the same everywhere, and says what it cuts."""

import json
import math

import numpy as np
import pytest

from attentropy import Trace, compare, export
from attentropy.engine.errors import UsageError
from attentropy.report.cli import main
from attentropy.report.content.read_report import read_report
from attentropy.report.export.figure_names import FIGURES
from attentropy.report.page.payload import facts
from attentropy.report.read.plane_statistics import statistics_of
from attentropy.report.read.ranges import parse_ranges
from attentropy.report.read.views import read_view, view_names
from long_traces import long
from traces import synthetic


@pytest.fixture(scope="module")
def trace():
    return long(300, layers=3, heads=3, read=100, window=16)


@pytest.fixture(scope="module")
def difference():
    return compare(synthetic(seed=0), synthetic(seed=1))


def test_by_default_nothing_is_cut(trace):
    for name in view_names(trace):
        view = read_view(trace, name)
        scales = [view.scale, *(statistic.scale for statistic in statistics_of(trace, name))]
        assert not any(scale.cuts_low or scale.cuts_high or scale.fitted for scale in scales)
        assert np.nanmax(view.values) <= view.scale.high
    assert read_view(trace, "lens").scale.high == math.log(128_256)


def test_a_divergence_above_ln_v_lies_on_its_scale(trace):
    values = np.where(np.isnan(trace["lens_kl"]), np.nan, 17.5).astype(np.float32)
    larger = Trace(trace.dataset.assign(lens_kl=(trace.dataset["lens_kl"].dims, values)))
    scales = {statistic.name: statistic.scale for statistic in statistics_of(larger, "lens")}
    assert scales["lens_kl"].high == 17.5


def test_without_a_vocabulary_the_scale_ends_at_the_largest_value(trace):
    model = {key: value for key, value in trace.attrs["model"].items() if key != "vocabulary"}
    unknown = Trace(trace.dataset.assign_attrs(model=model))
    view = read_view(unknown, "lens")
    assert view.scale.high == np.float32(np.nanmax(view.values))


def test_the_scale_of_a_difference_is_fitted_and_says_so(difference):
    scale = read_view(difference, "lens").scale
    assert (scale.fitted, scale.cuts_low, scale.cuts_high) == (True, True, True)
    assert scale.words().endswith("and above (A more certain) (range fitted to the values shown)")
    same = read_view(compare(difference.a, difference.a), "lens").scale
    assert (same.fitted, same.cuts_low, same.cuts_high) == (False, False, False)


def test_two_figures_and_a_page_share_a_fixed_range(trace):
    other = long(300, layers=3, heads=3, read=100, window=16, seed=1)
    for one in (trace, other):
        caption = export(one, "lens", "csv", range=(0, 4)).caption
        assert "blue 0.0 (certain), white 2.0, red 4.0 nats and above" in caption
        page = facts(read_report(one, [], ranges=parse_ranges("0:4")))
        for view in ("lens", "attention"):
            assert (page["scales"][view]["high"], page["scales"][view]["cuts_high"]) == (4.0, True)


def test_every_figure_with_a_scale_of_entropies_takes_a_range(trace):
    assert [name for name in FIGURES if "range" in FIGURES[name]] == [
        "story", "lens", "attention", "heads",
    ]  # fmt: skip
    caption = export(trace, "attention", "csv", range="1:2").caption
    assert "blue 1.0 and below, white 1.5, red 2.0 nats and above" in caption
    image = export(
        trace, "attention", "svg", stat="normalized_entropy", range=(0, 0.5)
    ).data.decode()
    assert "≥ 0.50" in image
    image = export(trace, "heads", "svg", score="entropy", range=(0, 2)).data.decode()
    assert "≥ 2.0" in image
    with pytest.raises(UsageError, match="`range`"):
        export(trace, "heads", score="sink", range=(0, 2))


def test_a_difference_takes_symmetric_ends(difference):
    scale = read_view(difference, "lens", ends=(-2.0, 2.0)).scale
    assert (scale.low, scale.high, scale.fitted) == (-2.0, 2.0, False)
    with pytest.raises(UsageError, match="symmetric"):
        read_view(difference, "lens", ends=(0.0, 2.0))


@pytest.mark.parametrize(
    ("values", "ranges"),
    [
        (None, {}),
        ((), {}),
        ("0:10", {"lens": (0, 10), "attention": (0, 10)}),
        ((0, 10), {"lens": (0, 10), "attention": (0, 10)}),
        (["lens=0:10"], {"lens": (0, 10)}),
        (["0:10", "attention=1:8.5"], {"lens": (0, 10), "attention": (1, 8.5)}),
        ({"attention": [1, 8]}, {"attention": (1, 8)}),
    ],
)
def test_ranges_are_read_from_texts_and_values(values, ranges):
    assert parse_ranges(values) == ranges


@pytest.mark.parametrize("values", ["10", "0:1:2", "a:b", ["map=0:1"], (1,), 5, {"lens": 3}])
def test_what_is_no_range_is_refused(values):
    with pytest.raises(UsageError, match="`range`"):
        parse_ranges(values)


def test_commands_take_the_range(difference, tmp_path):
    for name, one in (("a", difference.a), ("b", difference.b)):
        one.save(tmp_path / f"{name}.zarr")
    a, b = (str(tmp_path / f"{name}.zarr") for name in "ab")
    target = str(tmp_path / "page.html")
    for command, ends, value in (
        (["render", a], "lens=0:3", 3.0), (["compare", a, b], "-2:2", 2.0),
    ):  # fmt: skip
        assert main([*command, "-o", target, "--range", ends, "--force"]) == 0
        page = (tmp_path / "page.html").read_text()
        scales, _ = json.JSONDecoder().raw_decode(page.partition('"scales":')[2])
        assert scales["lens"]["high"] == value
    figure = tmp_path / "figure.csv"
    assert main(["export", a, "-o", str(figure), "--range", "0:2"]) == 0
    assert figure.stat().st_size

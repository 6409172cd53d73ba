"""The line that says how a page was made to fit names only what was done."""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from attentropy.report.figures.layerpanel import layerpanel
from attentropy.report.pack.figure_values import FigureValues
from attentropy.report.pack.notice import reduction
from attentropy.report.page.document import draw_svg
from attentropy.report.read.curves import Curve
from traces import synthetic


def _line(**values):
    views = [SimpleNamespace(name="lens", step=1)]
    source = SimpleNamespace(trace=synthetic(), positions=17, views=views)
    return reduction(source, FigureValues(None, [], **values), 1_000_000)


def test_a_page_with_every_position_does_not_speak_of_means_of_one():
    whole = {"steps": {"lens": 1}, "ranges": [(0, 17)]}
    start = "To fit 17 positions into 1 MB, values are rounded or left out. "
    everything = "Full resolution at every position: all values"
    assert _line(**whole, head_step=1) == f"{start}{everything}. Values are exact."
    assert _line(**whole) == (
        f"{start}{everything} but those of single heads. Single heads: left out. Values are exact."
    )
    assert _line(**whole, head_step=4, head_ranges=[(9, 17)]).endswith(
        "Single heads: means of 4 positions and full resolution at 9–16. Values are exact."
    )


def test_a_page_of_tiles_says_how_many_positions_one_has():
    line = _line(steps={"lens": 4}, ranges=[(8, 17)], head_step=1)
    assert "each overview column is the mean (or minimum or maximum, as chosen) of 4 positions" in (
        line
    )
    assert "Full resolution at 9 positions (8–16): all values." in line


@pytest.mark.parametrize(
    ("highest", "labels"), [(30, ["0", "10", "20", "30"]), (1500, ["0", "500", "1,000", "1,500"])]
)
def test_the_axis_of_a_panel_has_plain_numbers(highest, labels):
    curve = Curve("distance", "Distance", np.linspace(0, highest, 6))
    picture = draw_svg(layerpanel(curve, [str(i) for i in range(6)]))
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture)
    assert set(labels) <= set(texts)
    assert not [text for text in texts if "e+" in text]

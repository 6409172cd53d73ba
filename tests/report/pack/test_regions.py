"""A long page has exact values of requested ranges, the tail, the template and the extremes."""

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.report import planes
from attentropy.report.pack.regions import merge_ranges, regions
from attentropy.report.read import views
from attentropy.report.read.positions import read_ranges
from traces import synthetic


def test_a_section_is_read_as_python_reads_it():
    assert read_ranges(["3:9", "-4:", ":5"], 20) == [(3, 9), (16, 20), (0, 5)]


@pytest.mark.parametrize("wrong", ["3", "a:b", "9:3", "30:40", "1:2:3"])
def test_a_section_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match="`sections`"):
        read_ranges([wrong], 20)


def test_ranges_that_touch_become_one():
    assert merge_ranges([(5, 9), (0, 2), (8, 12), (2, 3)]) == [(0, 3), (5, 12)]


def test_the_lowest_and_the_highest_stretch_are_kept_with_the_tail_and_the_template():
    n = 2048
    roles = ["bos"] + ["content"] * (n - 1)
    roles[450] = "template"
    trace = synthetic(["a"] * n, roles, layers=2, heads=1, window=False)
    values = np.full((2, n), 3.0, np.float32)
    values[:, 1000:1016], values[:, 1500:1516] = 0.5, 9.0
    view = views.View("lens", values, 10.0, 2, trace)
    ranges = regions(trace, [(100, 105)], [(view, planes.make_tiles(values, 2))], 16)
    mask = np.zeros(n, bool)
    for start, stop in ranges:
        mask[start:stop] = True
    for inside in (102, 450, 1004, 1504, n - 1, n - 60):
        assert mask[inside]
    assert mask.sum() < 200

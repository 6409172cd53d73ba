"""Fixtures that several modules share: a page, and the means to draw a picture once."""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from functools import wraps
from hashlib import blake2b

import pytest

from attentropy.report import vega
from attentropy.report.export import export as report_export
from traces import synthetic

_CONVERSIONS = ("to_svg", "to_vega")


@pytest.fixture(autouse=True, scope="package")
def _converted_once():
    """Let a chart be converted once however many pages have it: that is most of a page's time."""

    def once(convert):
        converted = {}

        @wraps(convert)
        def convert_once(chart):
            key = blake2b(json.dumps(chart).encode()).digest()
            if key not in converted:
                converted[key] = convert(chart)
            return copy.deepcopy(converted[key])

        return convert_once

    with pytest.MonkeyPatch.context() as patch:
        for name in _CONVERSIONS:
            patch.setattr(vega, name, once(getattr(vega, name)))
        yield


@pytest.fixture
def converted_again(_converted_once, monkeypatch):
    """Convert every chart in a test again, as a test must that compares two drawings."""
    for name in _CONVERSIONS:
        monkeypatch.setattr(vega, name, getattr(vega, name).__wrapped__)


@pytest.fixture(scope="session")
def plain_page(written):
    """Return the page of `synthetic()`, which many tests only read."""
    return written(synthetic()).read_text("utf-8")


@pytest.fixture(scope="session")
def drawn_once():
    """Return a context in which each figure is exported in every format from one drawing of it."""

    @contextmanager
    def context():
        drawings, draw = {}, report_export._draw_to_width

        def once(plan, choices, pixels):
            key = json.dumps(plan.draw(pixels), sort_keys=True), choices, pixels
            if key not in drawings:
                drawings[key] = draw(plan, choices, pixels)
            return drawings[key]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(report_export, "_draw_to_width", once)
            yield

    return context

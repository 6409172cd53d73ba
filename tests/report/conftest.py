"""Fixtures that several modules share: a page, and the means to draw a picture once."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from attentropy.report.export import export as report_export
from traces import synthetic


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

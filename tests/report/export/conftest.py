"""The trace that most figures are of, and one figure in all formats."""

import pytest

import attentropy
from traces import synthetic


@pytest.fixture(scope="module")
def trace():
    return synthetic()


@pytest.fixture(scope="module")
def documents(trace, drawn_once):
    with drawn_once():
        return {
            format: attentropy.export(trace, "lens", format, dpi=100)
            for format in ("svg", "png", "pdf", "csv")
        }

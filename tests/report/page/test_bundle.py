"""Vega is bundled once for each user and version, and no page bundles it again."""

import pytest

from attentropy.report import vega
from attentropy.report.page import bundle as page_bundle
from attentropy.report.page.program import program


@pytest.fixture
def requests(monkeypatch, tmp_path):
    """Empty the user's cache; return a list that grows by the name of each request."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = []
    monkeypatch.setattr(vega, "_call", lambda name: names.append(name) or f"bundle {len(names)}")
    return names


@pytest.mark.costly
@pytest.mark.usefixtures("converted_again")
def test_it_is_what_the_converter_gives():
    assert page_bundle.bundle() == vega.bundle()


def test_the_program_is_made_without_the_converter(requests):
    assert page_bundle.bundle() == "bundle 1"
    program.cache_clear()
    try:
        assert "bundle 1" in program().text
    finally:
        program.cache_clear()
    assert requests == ["javascript_bundle"]


def test_a_converter_of_other_versions_bundles_its_own(requests, monkeypatch):
    assert page_bundle.bundle() == page_bundle.bundle() == "bundle 1"
    monkeypatch.setattr(page_bundle, "version", lambda name: "0.0.1")
    assert page_bundle.bundle() == page_bundle.bundle() == "bundle 2"


def test_a_cache_that_cannot_be_used_keeps_nothing(requests, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert page_bundle.bundle() == "bundle 1"
    assert page_bundle.bundle() == "bundle 2"

"""The bundle that lies in the templates is what the converter gives, and no page makes it again."""

import zlib

import pytest

from attentropy.report import vega
from attentropy.report.page import bundle as stored
from attentropy.report.page.program import program


@pytest.fixture
def requests(monkeypatch):
    """Return a list that grows by the name of each request to the converter."""
    names = []
    call = vega._call

    def count(name, *arguments):
        names.append(name)
        return call(name, *arguments)

    monkeypatch.setattr(vega, "_call", count)
    return names


@pytest.mark.costly
@pytest.mark.usefixtures("converted_again")
def test_it_is_what_the_converter_gives():
    assert stored.bundle() == vega.bundle(), "run: python -m attentropy.report.page.bundle"


def test_the_program_is_made_without_the_converter(requests):
    program.cache_clear()
    text = program().text
    assert stored.bundle() in text
    assert requests == []


def test_a_converter_of_other_versions_bundles_its_own(requests, monkeypatch, tmp_path):
    monkeypatch.setattr(vega, "_call", lambda name: requests.append(name) or "its own")
    path = tmp_path / "bundle.js.z"
    monkeypatch.setattr(stored, "_FILE", path)
    assert stored.bundle() == "its own"
    path.write_bytes(zlib.compress(b"// vega 0.0.1\nold"))
    assert stored.bundle() == "its own"
    stored._write()
    assert stored.bundle() == "its own"
    assert requests == ["javascript_bundle"] * 3

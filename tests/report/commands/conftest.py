"""Fixtures for tests of commands: a folder to work in, and measurements without a waste of time."""

import pytest

from quick import quick_measurements


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True, scope="package")
def _quick():
    with quick_measurements():
        yield

"""A saved trace, once for each module and, to be changed, once for each test."""

import shutil

import pytest

from traces import synthetic


@pytest.fixture(scope="module")
def saved_trace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    return synthetic(layers=2, heads=2).save(folder / "t.zarr")


@pytest.fixture
def folder(saved_trace, tmp_path):
    return shutil.copytree(saved_trace, tmp_path / "t.zarr")

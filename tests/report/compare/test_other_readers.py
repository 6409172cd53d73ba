"""Programs that know Zarr alone open our stores, and we open those of earlier versions."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.digests import seal
from stores import pair
from traces import synthetic

OPENERS = {
    "folder": lambda trace, pair: xr.open_zarr(trace["zarr"]),
    "zip": lambda trace, pair: xr.open_zarr(zarr.storage.ZipStore(trace["zarr.zip"])),
    "zip by fsspec": lambda trace, pair: xr.open_zarr(f"zip::{trace['zarr.zip']}"),
    "side": lambda trace, pair: xr.open_zarr(pair["zarr"], group="a"),
    "side of a zip": lambda trace, pair: xr.open_zarr(
        zarr.storage.ZipStore(pair["zarr.zip"]), group="a"
    ),
    "tree": lambda trace, pair: xr.open_datatree(pair["zarr"], engine="zarr")["a"].to_dataset(),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Return the paths of a trace and of a comparison by ending, and the trace."""
    place, difference = tmp_path_factory.mktemp("plain"), pair()
    paths = [
        {end: str(of.save(place / f"{name}.{end}")) for end in ("zarr", "zarr.zip")}
        for name, of in (("t", difference.a), ("d", difference))
    ]
    return *paths, difference.a


@pytest.mark.parametrize("way", list(OPENERS))
def test_xarray_opens_our_stores_without_a_warning(plain, way):
    if way == "zip by fsspec":
        pytest.importorskip("fsspec")
    trace, pair, expected = plain
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = OPENERS[way](trace, pair).load()
    assert set(dataset.variables) == set(expected.dataset.variables)
    np.testing.assert_array_equal(dataset["entropy"], expected["entropy"])
    assert dataset["token_text"].values.tolist() == expected.tokens
    assert dataset.attrs["model"]["name"] == "synthetic"


def test_zarr_opens_our_stores_without_a_warning(plain):
    trace, pair, _ = plain
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(zarr.open_group(trace["zarr"], mode="r").arrays())) > 20
        assert {name for name, _ in zarr.open_group(pair["zarr"], mode="r").groups()} == {"a", "b"}


def test_a_trace_of_the_second_version_has_no_copy_of_its_metadata_and_opens(tmp_path):
    path = synthetic(layers=2, heads=2).save(tmp_path / "t.zarr")
    metadata = json.loads((path / "zarr.json").read_text())
    del metadata["consolidated_metadata"]
    metadata["attributes"]["format_version"] = 2
    (path / "zarr.json").write_text(json.dumps(metadata))
    seal(path)
    assert np.isfinite(Trace.open(path)["entropy"]).any()

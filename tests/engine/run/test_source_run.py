"""A run tests the sources of its answer: the same in memory and on a disk, whatever the load."""

import numpy as np
import pytest
import xarray as xr

from attentropy.engine.errors import UsageError
from attentropy.engine.run.extract import extract

OPTIONS = {"prompt": "What is the capital of Japan?", "stats": "none", "reference": False}


def _numbers(trace):
    timed = ("seconds", "predicted_seconds", "format", "format_version")
    attrs = {name: value for name, value in trace.sources.attrs.items() if name not in timed}
    return trace.sources.compute().drop_attrs(), attrs


def test_a_run_on_a_disk_has_the_sources_of_a_run_in_memory(tmp_path):
    own = extract(**OPTIONS, test_sources="word")
    stored = extract(**OPTIONS, test_sources="word", output=tmp_path / "t.zarr")
    for (a, of_a), (b, of_b) in [(_numbers(own), _numbers(stored))]:
        xr.testing.assert_allclose(a, b, atol=1e-5)
        assert of_a.keys() == of_b.keys()
        assert of_a["passes"] == of_b["passes"]


def test_what_is_tested_by_default_is_the_same_each_time():
    first, second = (_numbers(extract(prompt=OPTIONS["prompt"])) for _ in range(2))
    xr.testing.assert_allclose(first[0], second[0], atol=1e-5)
    assert first[1]["passes"] == second[1]["passes"]


def test_the_tests_leave_the_rest_of_the_trace_as_it_is():
    plain = extract(prompt=OPTIONS["prompt"], test_sources="none")
    tested = extract(prompt=OPTIONS["prompt"], test_sources="auto")
    assert plain.sources is None
    for name in plain:
        np.testing.assert_array_equal(plain[name], tested[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_sources": "all"}, "`test_sources` must be auto"),
        ({"test_sources": 3}, "`test_sources` must be auto"),
        ({"test_sources": "none", "budget": 3}, "`budget` belongs to the tests"),
        ({"how": "delete"}, "`how` must be hide or remove"),
        ({"versus": 3}, "`versus` must be a text"),
        ({"budget": -1}, "`budget` must be"),
        ({"test_sources": {"a": [0, 3]}, "segments": {"b": [3, 6]}}, "both name parts"),
    ],
)
def test_options_that_cannot_work_are_refused_before_a_model_is_loaded(options, message):
    with pytest.raises(UsageError, match=message):
        extract("no/such/model", "Hello", **options)

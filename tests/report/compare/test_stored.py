"""A saved comparison is both traces and their alignment, checked on both sides as a trace is."""

import os

import numpy as np
import pytest

import attentropy
from attentropy.engine.errors import OtherFormat, TraceError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import Difference, compare
from attentropy.report.compare.stored import without_texts
from attentropy.report.findings.observations import observe
from grids import diagonal
from stores import as_version_2_saved, pair
from traces import save_synthetic

WHICH = ["ids", "ids redacted", "texts", "texts redacted"]


@diagonal({"which": WHICH, "ending": [".zarr", ".zarr.zip"]})
def test_a_comparison_is_what_it_was_after_it_was_saved(differences, tmp_path, which, ending):
    before = differences[which]
    after = attentropy.open(before.save(tmp_path / f"d{ending}"))
    assert isinstance(after, Difference)
    assert (after.names, after.by_text) == (before.names, before.by_text)
    for name in ("kind", "at_a", "at_b"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert set(after.dataset.variables) == set(before.dataset.variables)
    for name in map(str, before.dataset.variables):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    for one, other in zip(after.traces, before.traces, strict=True):
        for name in map(str, other.dataset.variables):
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert observe(after) == observe(before)
    assert repr(after) == repr(before)


def test_the_same_comparison_gives_the_same_bytes(differences, tmp_path):
    paths = [differences["texts"].save(tmp_path / f"{i}.zarr.zip") for i in range(2)]
    paths.append(attentropy.open(paths[0]).save(tmp_path / "2.zarr.zip"))
    folder = differences["texts"].save(tmp_path / "3.zarr")
    paths.append(attentropy.open(folder).save(tmp_path / "4.zarr.zip"))
    assert len({path.read_bytes() for path in paths}) == 1


def test_it_is_written_complete_or_not_at_all(tmp_path, monkeypatch):
    difference = pair()
    path = difference.save(tmp_path / "d.zarr.zip")
    whole = path.read_bytes()
    with pytest.raises(UsageError, match="exists"):
        difference.save(path)
    with pytest.raises(UsageError, match=r"NAME\.zarr"):
        difference.save(tmp_path / "d.html")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        difference.save(path, force=True)
    assert [p.name for p in tmp_path.iterdir()] == ["d.zarr.zip"]
    assert path.read_bytes() == whole


def test_texts_taken_out_later_are_those_taken_out_at_once(differences, tmp_path):
    for how in ("ids", "texts"):
        later = without_texts(attentropy.open(differences[how].save(tmp_path / f"{how}.zarr")))
        at_once = differences[f"{how} redacted"]
        assert later.tokens == at_once.tokens
        np.testing.assert_array_equal(later.kind, at_once.kind)
        assert observe(later) == observe(at_once)
        assert without_texts(later) is later


def test_one_function_opens_either_and_each_class_its_own(saved, tmp_path):
    trace = save_synthetic(tmp_path / "t.zarr", layers=2, heads=2, window=False)
    assert type(attentropy.open(trace)) is Trace
    assert type(attentropy.open(saved)) is Difference
    with pytest.raises(OtherFormat, match=r"d\.zarr is a saved comparison .*attentropy\.open"):
        Trace.open(saved)
    with pytest.raises(OtherFormat, match=r"t\.zarr is a trace, not a saved comparison"):
        Difference.open(trace)
    with pytest.raises(TraceError, match="cannot be opened with"):
        Difference.open(saved, partial=True)
    assert "open" in dir(attentropy)
    assert "open" not in attentropy.__all__


def test_a_comparison_does_not_pass_for_a_trace(tmp_path):
    difference = pair()
    for take in (Trace, redact):
        with pytest.raises(TraceError, match="is a comparison, not a trace"):
            take(difference.dataset if take is Trace else difference)
    for sides in ((difference, difference.a), (difference.a, difference)):
        with pytest.raises(UsageError, match=r"[AB] is already a comparison"):
            compare(*sides)
    old = as_version_2_saved(difference, tmp_path / "old.zarr.zip")
    with pytest.raises(TraceError, match="an earlier version saved as a trace"):
        attentropy.open(old)

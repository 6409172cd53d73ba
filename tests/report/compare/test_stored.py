"""A saved comparison is both traces and their alignment, checked on both sides as a trace is."""

import copy
import json
import os
import shutil
import zipfile

import numpy as np
import pytest
import zarr

import attentropy
from attentropy.engine.errors import OtherFormat, TraceError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.digests import seal
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.schema import NEVER_NEGATIVE
from attentropy.report.compare.difference import Difference, compare
from attentropy.report.compare.stored import without_texts
from attentropy.report.findings.observations import observe
from grids import diagonal
from stores import as_version_2_saved, edit, pair
from traces import CHAT, renumbered, reseal, save_synthetic, synthetic

WHICH = ["ids", "ids redacted", "texts", "texts redacted"]
EDITED = [*CHAT[:7], " a", " great", *CHAT[8:12], "!", *CHAT[12:14], *CHAT[15:]]


@pytest.fixture(scope="module")
def differences():
    """Return a comparison by ids and one by texts, each with and without its texts."""
    a, b = (synthetic(t, layers=2, heads=2, seed=i) for i, t in enumerate((CHAT, EDITED)))
    by_id = a, renumbered(b, a)
    other = b.dataset.assign_attrs(tokenizer={"sha256": "9" * 64})
    by_text = a, Trace(other)
    names = ("one.zarr", "ünï</script>")
    by_name = {
        f"{how}{' redacted' * hidden}": compare(*sides, names, redact=hidden)
        for how, sides in (("ids", by_id), ("texts", by_text))
        for hidden in (False, True)
    }
    assert [of.by_text for of in by_name.values()] == [False, False, True, True]
    return by_name


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return pair().save(tmp_path_factory.mktemp("saved") / "d.zarr")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "d.zarr")


def _read_both(path, name):
    """Open a comparison, and read one variable of both sides if that is named."""
    difference = attentropy.open(path)
    if name is not None:
        for trace in difference.traces:
            trace[name]


def _refused(path, message, read=None):
    with pytest.raises(TraceError, match=message) as caught:
        _read_both(path, read)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(path.name)


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


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("entropy", lambda m: m.update(codecs=[{"name": "numcodecs.pickle"}]), "numcodecs.pickle"),
        ("entropy", lambda m: m["shape"].__setitem__(0, 2**62), "impossible shape"),
        ("entropy", lambda m: m["shape"].__setitem__(2, 2**40), "claims"),
        ("entropy", lambda m: m["shape"].__setitem__(2, 2**20), "truncated"),
        ("entropy", lambda m: m.update(data_type={"name": "struct"}), "unknown data type"),
        ("entropy", lambda m: m.update(attributes={"a": 1}), "not stored as in a trace"),
        ("", lambda m: m["attributes"].update(format="other"), "not an attentropy trace"),
        ("", lambda m: m["attributes"].update(format="attentropy.comparison"), "not a trace"),
        ("", lambda m: m["attributes"].update(format_version=99), "newer than this version"),
        ("", lambda m: m["attributes"].update(notes="a"), "attribute 'notes'"),
        ("", lambda m: m["attributes"].update(options={"a": 10**30}), "out of range"),
        ("", lambda m: m.update(evil={"a": 1}), "its group is not stored"),
        ("", lambda m: m.update(zarr_format=2), "not Zarr v3"),
    ],
)  # fmt: skip
def test_what_no_trace_claims_is_refused_on_either_side(folder, side, name, change, message):
    file = folder / side / name / "zarr.json"
    metadata = json.loads(file.read_text())
    change(metadata)
    file.write_text(json.dumps(metadata))
    reseal(folder)
    _refused(folder, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(names=["one"]), "attribute 'names'"),
        (lambda a: a.update(names=["one", 2]), "attribute 'names'"),
        (lambda a: a.update(names=["one", "x" * 1001]), "attribute 'names'"),
        (lambda a: a.pop("names"), "attribute 'names'"),
        (lambda a: a.update(aligned_by="luck"), "attribute 'aligned_by'"),
        (lambda a: a.update(aligned_by=[]), "attribute 'aligned_by'"),
        (lambda a: a.update(format_version=2), "newer than this version"),
        (lambda a: a.update(format_version="1"), "no format version"),
        (lambda a: a.update(format="attentropy.other"), "not an attentropy trace"),
    ],
)
def test_what_no_comparison_says_of_itself_is_refused(folder, change, message):
    edit(folder, lambda metadata: change(metadata["attributes"]))
    _refused(folder, message)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("match_a", np.arange(17)[::-1], "match_a do not fit"),
        ("match_a", [0, *range(16)], "match_a do not fit"),
        ("match_b", np.arange(17) + 1, "match_b do not fit"),
        ("match_b", np.arange(17) - 1, "match_b do not fit"),
        ("match_b", [*range(16), 2**31 - 1], "match_b do not fit"),
        ("match_a", np.arange(9), "conflicting sizes for dimension 'match'"),
    ],
)
def test_an_alignment_that_does_not_fit_is_refused(folder, name, values, message):
    values = np.asarray(values, np.int32)
    if values.size == 17:
        zarr.open_array(str(folder / name), mode="r+")[...] = values
    else:
        shutil.rmtree(folder / name)
        group = zarr.open_group(str(folder), mode="r+", use_consolidated=False)
        group.create_array(name, data=values, dimension_names=["match"])
    reseal(folder)
    _refused(folder, message)


def _realigned(difference, of_a, of_b):
    """Return the comparison with another alignment."""
    other = copy.copy(difference)
    alignment = difference._alignment
    other._alignment = type(alignment)(np.array(of_a), np.array(of_b), alignment.by_text)
    return other


@pytest.mark.parametrize(
    "which",
    [pytest.param(one, marks=[pytest.mark.slow] * (i in (1, 2))) for i, one in enumerate(WHICH)],
)
def test_an_alignment_of_tokens_that_differ_is_refused(differences, tmp_path, which):
    of, at = differences[which], differences[which]._alignment
    shifted = _realigned(of, at.of_a[:-1], [*at.of_b[:3], *at.of_b[4:]])
    _refused(shifted.save(tmp_path / "d.zarr"), "different tokens are aligned")
    few = _realigned(of, at.of_a[:4], at.of_b[:4])
    _refused(few.save(tmp_path / "e.zarr"), "less than half")
    none = _realigned(of, at.of_a[:0].tolist(), at.of_b[:0].tolist())
    _refused(none.save(tmp_path / "f.zarr"), "less than half")


def test_sides_that_do_not_belong_together_are_refused(saved, tmp_path):
    parts = {"layers": synthetic(layers=3, heads=2), "texts": redact(synthetic(layers=2, heads=2))}
    for name, message in (
        ("layers", r"different layer counts \(2 and 3\)"),
        ("texts", "only one of the two traces is redacted"),
    ):
        path = shutil.copytree(saved, tmp_path / name / "d.zarr")
        shutil.rmtree(path / "b")
        shutil.copytree(parts[name].save(tmp_path / f"{name}.zarr"), path / "b")
        (path / "b" / "written.json").unlink()
        reseal(path)
        _refused(path, message)


@pytest.mark.parametrize("missing", ["a", "b/entropy", "match_a", "b/zarr.json", "written.json"])
def test_a_comparison_without_a_part_is_refused(folder, missing):
    part = folder / missing
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    _refused(folder, "truncated|json is missing|not a complete|but not|is missing or")
    if missing not in ("written.json", "b/entropy"):
        reseal(folder)
        _refused(folder, "json is missing|not a complete|but not|is missing or")


def test_unknown_arrays_and_groups_are_refused_or_ignored(folder):
    shutil.copytree(folder / "a" / "entropy", folder / "entropy")
    reseal(folder)
    _refused(folder, "unknown array 'entropy'")
    shutil.rmtree(folder / "entropy")
    shutil.copytree(folder / "match_a", folder / "b" / "match_a")
    reseal(folder)
    _refused(folder, "unknown array 'match_a'")
    shutil.rmtree(folder / "b" / "match_a")
    shutil.copytree(folder / "a", folder / "c")
    reseal(folder)
    _refused(folder, "unknown array 'c'")


@pytest.mark.parametrize("packed", [False, True])
def test_an_accident_on_one_side_is_found_where_its_values_are_read(folder, tmp_path, packed):
    one, other = (folder / side / "entropy" / "c/0/0/0" for side in ("a", "b"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    path = folder
    if packed:
        path = tmp_path / "p.zarr.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                archive.write(file, file.relative_to(folder).as_posix())
    _refused(path, "the values of a/entropy are damaged", "entropy")


def test_links_and_changed_copies_of_metadata_are_refused(folder):
    edit_side = folder / "a" / "zarr.json"
    metadata = json.loads(edit_side.read_text())
    metadata["consolidated_metadata"]["metadata"]["entropy"]["data_type"] = "float64"
    edit_side.write_text(json.dumps(metadata))
    seal(folder)
    _refused(folder, "a/zarr.json and the arrays' own metadata differ")
    reseal(folder)
    assert attentropy.open(folder)
    (folder / "a" / "evil").symlink_to("/etc")
    _refused(folder, "contains a link")


@pytest.mark.parametrize("name", sorted(NEVER_NEGATIVE & set(synthetic().dataset.variables)))
def test_values_that_no_recording_makes_negative_are_refused(tmp_path, name):
    path = save_synthetic(tmp_path / "t.zarr", layers=2, heads=2)
    array = zarr.open_array(str(path / name), mode="r+")
    values = np.asarray(array[...])
    values.reshape(-1)[:2] = np.nan, -1e-6
    for last, is_fine in ((values.reshape(-1)[-1], True), (-0.28, False)):
        values.reshape(-1)[-1] = last
        array[...] = values
        reseal(path)
        if is_fine:
            assert Trace.open(path)[name].size
            continue
        with pytest.raises(TraceError, match=f"{name} has negative values"):
            Trace.open(path)[name]

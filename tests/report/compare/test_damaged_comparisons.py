"""A comparison that is damaged, or that says what no comparison does, is refused in one line."""

import copy
import json
import shutil
import zipfile

import numpy as np
import pytest
import zarr

import attentropy
from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.digests import seal
from attentropy.engine.trace.ranges import RANGES
from attentropy.engine.trace.redaction import redact
from stores import edit
from traces import reseal, save_synthetic, synthetic


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


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("entropy", lambda m: m.update(codecs=[{"name": "numcodecs.pickle"}]), "numcodecs.pickle"),
        ("entropy", lambda m: m["shape"].__setitem__(0, 2**62), "impossible shape"),
        ("entropy", lambda m: m["shape"].__setitem__(2, 2**40), "truncated"),
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
    [
        "ids",
        pytest.param("ids redacted", marks=pytest.mark.slow),
        pytest.param("texts", marks=pytest.mark.slow),
        "texts redacted",
    ],
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


@pytest.mark.parametrize(
    "name",
    [str(n) for n, one in synthetic().dataset.items() if one.dtype == "f4" and RANGES[n].low == 0],
)
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
        with pytest.raises(TraceError, match=f"{name} is -0.28 at .*, below 0"):
            Trace.open(path)[name]

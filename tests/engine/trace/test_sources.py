"""Sources in a trace: saved and opened unchanged, redacted, and refused where they do not fit."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace import store
from attentropy.engine.trace.dataset import Trace, stored_dataset
from attentropy.engine.trace.redaction import redact, redact_together
from attentropy.engine.trace.schema import COORDINATES, VARIABLES
from attentropy.engine.trace.sources import GROUP, LABELS, SCHEMA, stored_sources
from attentropy.report.compare.difference import Difference, compare
from sources_of import made_sources, with_sources
from traces import CHAT, synthetic

ANSWERED = (*CHAT, "Can", "berra", " is", " it", ".", "<|eot_id|>")
SEGMENTS = {"secret": [0, 11], "question": [11, 33]}


def answered(seed=0, **options):
    """Return a trace with sources whose answer has positions, and segments in its prompt."""
    roles = ["bos"] + ["template"] * 4 + ["content"] * 7 + ["template"] * 5 + ["generated"] * 6
    trace = synthetic(ANSWERED, roles, layers=2, heads=2, seed=seed)
    facts = trace.attrs["prompt"] | {"tokens": len(CHAT)}
    trace = Trace(trace.dataset.assign_attrs(prompt=facts)).with_segments(SEGMENTS)
    return with_sources(trace, versus="Sydney", **options)


@pytest.fixture(scope="module")
def trace():
    return answered()


@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip"])
@pytest.mark.parametrize("target", [None, "Sydney of course"])
def test_the_sources_that_are_saved_are_opened(tmp_path, name, target):
    trace = answered(target=target)
    opened = Trace.open(trace.save(tmp_path / name))
    xr.testing.assert_identical(
        opened.sources.compute().drop_attrs(), trace.sources.compute().drop_attrs()
    )
    assert opened.sources.attrs.items() >= trace.sources.attrs.items()
    xr.testing.assert_identical(
        opened.dataset.drop_attrs().compute(), trace.dataset.drop_attrs().compute()
    )
    again = Trace.open(opened.save(tmp_path / f"again-{name}"))
    xr.testing.assert_identical(again.sources.compute(), opened.sources.compute())


def test_a_trace_without_sources_has_none_and_no_files_of_them(tmp_path):
    path = synthetic(layers=2, heads=2).save(tmp_path / "t.zarr")
    assert Trace.open(path).sources is None
    assert not (path / "groups").exists()


def test_an_earlier_reader_meets_only_what_it_knows(trace, tmp_path):
    # It refuses a folder NAME/zarr.json that is no array of its schema, and a copy of the metadata
    # that names more than the arrays.
    path = trace.save(tmp_path / "t.zarr")
    names = {*VARIABLES, *COORDINATES}
    assert {file.parent.name for file in path.glob("*/zarr.json")} <= names
    copy = json.loads((path / "zarr.json").read_text())["consolidated_metadata"]["metadata"]
    assert set(copy) <= names
    assert (path / GROUP / "zarr.json").is_file()


def test_other_programs_open_the_sources_as_zarr(trace, tmp_path):
    folder, archive = (trace.save(tmp_path / name) for name in ("t.zarr", "t.zarr.zip"))
    inner = xr.open_zarr(zarr.storage.ZipStore(archive), group=GROUP, consolidated=False)
    for opened in (xr.open_zarr(folder / GROUP), inner):
        np.testing.assert_array_equal(opened["label"], trace.sources["label"])


def test_sources_are_given_as_a_dataset_of_their_own(trace):
    assert trace.to_dataset() is trace.dataset
    assert trace.to_dataset("sources") is trace.sources
    with pytest.raises(UsageError, match="no group 'sources'"):
        synthetic().to_dataset("sources")
    with pytest.raises(UsageError, match="no group 'other'"):
        trace.to_dataset("other")


def test_what_is_made_from_a_trace_has_its_sources(trace):
    assert trace.with_segments({"all": [0, 33]}).sources.identical(trace.sources)


def test_redacted_sources_have_no_text_and_keep_every_number(trace):
    named = trace.sources.assign_attrs(notes=["hidden 'Sydney' twice"])
    redacted = redact(Trace(trace.dataset, named))
    values = {name: redacted.sources[name].values for name in redacted.sources.variables}
    written = " ".join(str(text) for name in values for text in values[name].ravel())
    written += json.dumps(redacted.sources.attrs)
    for text in ("secret", "Can", "berra", "Sydney", "question"):
        assert text not in written
    assert set(values["step_text"]) <= {"‹generated·3›", "‹generated·5›", "‹generated·1›"}
    # Names and numbers are those that the rest of the trace has for the same.
    assert set(values["span_id"]) == {"", *redacted["segment"][redacted["segment"] != ""]}
    np.testing.assert_array_equal(
        values["step_ids"], redacted["token_ids"][values["step_position"]]
    )
    for name, (_, kind) in SCHEMA.items():
        if kind != "s" and name != "step_ids":
            np.testing.assert_array_equal(values[name], trace.sources[name])


def test_sources_that_are_redacted_together_have_equal_numbers_for_equal_texts(trace):
    a, b = redact_together(trace, answered(seed=1))
    assert list(a.sources["step_text"].values) == list(b.sources["step_text"].values)


def test_a_comparison_leaves_the_sources_out(trace, tmp_path):
    difference = compare(trace, answered(seed=1))
    assert difference.sources is None
    opened = Difference.open(difference.save(tmp_path / "d.zarr"))
    assert opened.sources is opened.a.sources is opened.b.sources is None


def _variable(name, change):
    def changed(sources):
        values = sources[name].values.copy()
        return sources.assign({name: (sources[name].dims, change(values))})

    return changed


def _set(name, at, value):
    def change(values):
        values[at] = value
        return values

    return _variable(name, change)


def _attribute(**values):
    return lambda sources: sources.assign_attrs(values)


def _untested(sources):
    for name in ("effect_direct", "effect_with_copies", "effect_total"):
        sources = _set(name, slice(None), np.nan)(sources)
    return sources


MISFITS = [
    (_set("span_stop", -1, 18), "a span leaves the prompt"),
    (_set("span_start", 0, -1), "a span leaves the prompt"),
    (_set("span_stop", 3, 0), "a span leaves the prompt"),
    (lambda s: _set("span_start", 4, s["span_start"].values[3])(s), "spans of one level overlap"),
    (_set("span_level", 0, "<b>"), "unknown span_level '<b>'"),
    (_set("span_role", 0, "role"), "unknown span_role 'role'"),
    (_set("span_refined", 0, 2), "span_refined is not 0 or 1"),
    (_set("word_stop", -1, 99), "words overlap or leave the answer"),
    (_set("word_start", 1, 0), "words overlap or leave the answer"),
    (_set("word_decisive", 0, 2), "word_decisive"),
    (_set("step_position", 0, 3), "a step has no position"),
    (_set("step_position", -1, 99), "a step has no position"),
    (_set("step_position", 1, -1), "a step has no position"),
    (_set("step_ids", 0, -1), "a step has no token"),
    (_attribute(target="Sydney"), "a step of another text has a position"),
    (_set("logprob", 0, np.nan), "no log-probability"),
    (_set("logprob", 0, 0.5), "sources/logprob is 0.5 at step 0, above 0"),
    (_set("effect_direct", (3, 0), np.nan), "effect_direct lacks some steps of a span"),
    (_set("effect_total", (0, 0), -1.0), "effect_total lacks some steps of a span"),
    (_set("effect_template", 0, np.nan), "effect_template lacks some steps"),
    (_set("control_low", (slice(None), 0), np.nan), "control_low is above control_high"),
    (_set("control_high", slice(None), -9.0), "control_low is above control_high"),
    (_set("control_draws", 0, -1), "sources/control_draws is -1 at span 0, below 0"),
    (_set("attention_mass", 0, 1.5), "sources/attention_mass is 1.5 at span 0, above 1"),
    (_set("label", (0, 0), len(LABELS)), "unknown label"),
    (_set("label", (0, 0), -1), "unknown label"),
    (_untested, "a span without a test has a label"),
    (_set("layer", 0, 7), "layers that the trace does not have"),
    (_set("layer", 0, 1), "layers that the trace does not have"),
    (lambda s: s.isel(span=slice(0)), "no span"),
    (lambda s: s.isel(word=slice(0)), "no word"),
    (lambda s: s.isel(step=slice(0)), "no step"),
    (lambda s: s.isel(span=np.arange(999) % s.sizes["span"]), "more spans than the prompt has"),
    (lambda s: s.isel(word=np.zeros(99, int)), "more words than steps"),
    (_attribute(how="guess"), "'how' must be"),
    (_attribute(passes=-1), "the attribute 'passes'"),
    (_attribute(passes=2**70), "the attribute 'passes'|out of range"),
    (_attribute(seconds="2"), "the attribute 'seconds'"),
    (_attribute(level=3), "the attribute 'level'"),
    (_attribute(notes=[3]), "the attribute 'notes'"),
    (lambda s: s.drop_vars("control_low"), "control_low without control_high"),
    (lambda s: s.drop_vars("label"), "'label' is missing"),
    (lambda s: s.drop_vars("layer"), "'layer' is missing"),
]


def _write(trace, sources, path):
    return store.write_datasets({"": stored_dataset(trace), GROUP: sources}, path)


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_sources_that_do_not_fit_are_refused_by_name(trace, tmp_path, change, message):
    path = _write(trace, change(stored_sources(trace.sources)), tmp_path / "t.zarr")
    with pytest.raises(TraceError, match=message) as caught:
        Trace.open(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("t.zarr")


@pytest.mark.parametrize("name", ["effect_direct", "effect_from_layer"])
def test_infinite_effects_are_refused_where_they_are_read(trace, tmp_path, name):
    sources = _variable(name, lambda values: np.full_like(values, -np.inf))(trace.sources)
    path = _write(trace, stored_sources(sources), tmp_path / "t.zarr")
    with pytest.raises(TraceError, match=f"sources/{name} is -inf at span 0, .*step 0"):
        Trace.open(path).sources[name].load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.rename(step_ids="evil"), "unknown array 'evil'"),
        (lambda s: s.assign(label=s["label"].transpose()), "dimensions"),
        (lambda s: s.assign(logprob=("step", np.zeros(s.sizes["step"], np.int32))), "has type"),
        (lambda s: s.assign_attrs(format="attentropy.trace"), "a trace, not the sources"),
        (lambda s: s.assign_attrs(format="other"), "not an attentropy trace"),
        (lambda s: s.assign_attrs(format_version=2), "newer than this version"),
    ],
)
def test_a_group_that_is_not_of_sources_is_refused(trace, tmp_path, change, message):
    path = _write(trace, change(stored_sources(trace.sources)), tmp_path / "t.zarr")
    with pytest.raises(TraceError, match=message) as caught:
        Trace.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "message"),
    [("label/c/0/0", "truncated"), ("zarr.json", "truncated"), ("label/zarr.json", "truncated")],
)
def test_sources_that_lack_a_file_are_refused(trace, tmp_path, file, message):
    path = trace.save(tmp_path / "t.zarr")
    (path / GROUP / file).unlink()
    with pytest.raises(TraceError, match=message):
        Trace.open(path)


def test_damaged_sources_are_refused(trace, tmp_path):
    path = trace.save(tmp_path / "t.zarr")
    chunk = path / GROUP / "effect_direct" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(TraceError, match="effect_direct are damaged"):
        Trace.open(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.drop_vars("span_id"), "'span_id' is missing"),
        (lambda s: s.assign(evil=("span", np.zeros(s.sizes["span"]))), "unknown variable 'evil'"),
        (lambda s: s.assign(label=s["label"].transpose()), "has dimensions"),
        (lambda s: s.assign(span_id=s["span_start"]), "has type"),
    ],
)
def test_a_trace_takes_no_other_sources(trace, change, message):
    with pytest.raises(TraceError, match=message):
        Trace(trace.dataset, change(trace.sources))


def test_sources_have_the_types_in_which_they_are_stored(trace):
    wide = made_sources(trace)
    assert wide["effect_direct"].dtype == np.float64
    sources = Trace(trace.dataset, wide).sources
    assert {str(one.dtype) for one in sources.variables.values()} == {
        "float32", "int32", "int8", "StringDType()",
    }  # fmt: skip

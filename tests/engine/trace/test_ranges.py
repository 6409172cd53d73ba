"""Each variable has a range, which a trace is held to: opened, read, and as a whole."""

import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.limits import TOLERANCE, Limits
from attentropy.engine.trace.checks.ranges import unchecked_reads
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.ranges import ENDS, RANGES, SOURCE_RANGES
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.schema import COORDINATES, VARIABLES
from attentropy.engine.trace.sources import SCHEMA
from attentropy.report.compare.difference import compare
from changed_values import set_value, verify_values
from complete import complete
from possible import ENDS as POSSIBLE
from possible import SUMS
from traces import synthetic

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return complete(profile=True).save(tmp_path_factory.mktemp("made") / "t.zarr")


@pytest.fixture(scope="module")
def everything():
    return complete(profile=True)


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "t.zarr")


def test_every_variable_with_numbers_has_a_range():
    numbers = {name for name, (_, kind) in {**VARIABLES, **COORDINATES}.items() if kind != "s"}
    assert set(RANGES) == numbers
    assert set(SOURCE_RANGES) == {name for name, (_, kind) in SCHEMA.items() if kind == "f"} | {
        "control_draws"
    }
    assert set(POSSIBLE) == set(VARIABLES)
    assert {name for name, own in RANGES.items() if own.total} == set(SUMS)


def test_every_end_is_a_number_or_explained():
    for own in (*RANGES.values(), *SOURCE_RANGES.values()):
        ends = [own.low, own.high, *([own.total.most] if own.total else [])]
        assert all(end in ENDS for end in ends if isinstance(end, str))


def _written(end):
    text = {math.inf: "∞", -math.inf: "−∞"}.get(end)
    if text is None:
        text = end if isinstance(end, str) else f"{end:,}" if end == int(end) else f"{end:.6g}"
    return text.replace("-", "−").replace("^2", "²")


def test_the_table_of_ranges_in_the_definitions_is_the_one_that_is_checked():
    text = (ROOT / "docs/definitions.md").read_text("utf-8").split("## Ranges", 1)[1]
    rows = {}
    for line in text.split("\n## ", 1)[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                rows[name] = cells[1:]
    own = {**{name: RANGES[name] for name in VARIABLES}, **SOURCE_RANGES}
    for i in range(1, 9):
        assert own.pop(f"window{i}").total.over == f"window_key{i}"
    expected = {
        name: [
            f"{_written(one.low)} … {_written(one.high)}",
            f"≤ {_written(one.total.most)} along `{one.total.over}`" if one.total else "",
        ]
        for name, one in own.items()
    }
    assert rows == expected
    for end, words in ENDS.items():
        assert f"- `{_written(end)}`: {words}\n" in text


def test_the_ends_are_those_of_the_definitions(saved):
    """Each end of each value, computed apart from the code that is tested."""
    with unchecked_reads():
        dataset = Trace.open(saved).dataset.load()
    limits = Limits(dict(dataset.variables), dataset.attrs, partial=False)
    for name, possible in POSSIBLE.items():
        variable = dataset[name].variable
        place = [np.arange(n) for n in variable.shape]
        ends = [
            np.broadcast_to(limits.end(end, variable.dims, place), variable.shape)
            for end in (RANGES[name].low, RANGES[name].high)
        ]
        for at in np.ndindex(variable.shape):
            expected = possible(dict(zip(variable.dims, at, strict=True)))
            np.testing.assert_allclose([ends[0][at], ends[1][at]], expected, err_msg=name)


def test_no_distribution_has_more_varentropy_than_the_range_allows():
    """One heavy outcome and n − 1 equal ones have the largest varentropy of all."""
    for n in (2, 3, 4, 10, 100, 1e4, 1e6):
        heavy = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 20001), 1 - np.logspace(-12, -6, 999)])
        light = (1 - heavy) / (n - 1)
        entropy = -heavy * np.log(heavy) - (1 - heavy) * np.log(light)
        varentropy = heavy * np.log(heavy) ** 2 + (1 - heavy) * np.log(light) ** 2 - entropy**2
        assert varentropy.max() <= math.log(n - 1) ** 2 / 4 + 1


def _somewhere(name, values):
    """Return a place of a variable that has a value, and its ends."""
    dims, kind = VARIABLES[name]
    is_there = np.isfinite(values) & (values >= 0 if kind == "i" else True)
    measured = np.argwhere(is_there)
    at = tuple(int(i) for i in measured[len(measured) // 2])
    return at, POSSIBLE[name](dict(zip(dims, at, strict=True)))


def _faults(trace, name, at, value):
    """Return what is wrong with a variable that has another value at one place."""
    data = trace.dataset
    values = data[name].values.copy()
    values[at] = value
    return Trace(data.assign({name: (data[name].dims, values)})).verify().lines


def test_of_every_variable_what_lies_outside_is_a_fault_and_what_is_just_inside_is_not(everything):
    for name, (dims, kind) in VARIABLES.items():
        at, (low, high) = _somewhere(name, everything[name])
        place = ", ".join(f"{dim} {i}" for dim, i in zip(dims, at, strict=True))
        for end, sign, side in ((low, -1, "below"), (high, 1, "above")):
            if math.isinf(end) or name == "thumbnail" or end + sign > 2**31 - 1:
                continue
            lines = _faults(everything, name, at, end + sign)
            assert lines[0].startswith(f"{name} is {end + sign:.6g} at {place}, {side} ")
            if kind == "f" and name not in SUMS:
                assert _faults(everything, name, at, end + sign * 0.5 * TOLERANCE) == []
        if kind == "f":
            is_fine = name in ("lse",)
            assert _faults(everything, name, at, np.nan) == []
            assert is_fine or _faults(everything, name, at, np.inf)[0].startswith(f"{name} is inf")


@pytest.mark.parametrize("name", ["entropy", "top_key", "received", "lens_rank", "token_logprob"])
def test_what_lies_outside_is_refused_by_name_and_place(folder, name):
    at, (_, high) = _somewhere(name, zarr.open_array(str(folder / name), mode="r")[...])
    set_value(folder, name, at, high + 1)
    place = ", ".join(f"{dim} {i}" for dim, i in zip(VARIABLES[name][0], at, strict=True))
    words = f"{name} is {high + 1:.6g} at {place}, above "
    with pytest.raises(TraceError, match=re.escape(words)) as caught:
        Trace.open(folder)[name]
    assert "\n" not in str(caught.value)
    assert any(line.startswith(words) for line in verify_values(folder).lines)


def test_rows_that_add_up_to_more_than_they_can_are_faults(everything):
    for name, (over, _) in SUMS.items():
        dims = VARIABLES[name][0]
        values = everything[name].copy()
        row = np.moveaxis(values, dims.index(over), -1)[(-1,) * (values.ndim - 1)]
        if name == "received":  # each key within what its queries can give
            row[:17] = np.arange(17, 0, -1)
        elif name == "window_entropy":
            row[:] = 0.36
        else:
            row[:] = {"thumbnail": 255, "lens_top_logprobs": -0.5}.get(name, 0.6)
        lines = Trace(everything.dataset.assign({name: (dims, values)})).verify().lines
        assert re.match(f"{name}, added up along {over}, is .*above", lines[0])
        assert len(lines) == 1


def test_the_values_of_a_kind_that_is_not_sampled_are_refused_where_they_are_read(folder):
    set_value(folder, "distance", (1, 1, 5), 9.0)  # opening does not read it
    trace = Trace.open(folder)
    assert trace["entropy"].size
    with pytest.raises(TraceError, match="distance is 9 at layer 1, head 1, query 5, above"):
        trace["distance"]


def test_parts_of_an_array_are_checked_where_they_stand(folder):
    set_value(folder, "top_key", (1, 0, 6), 7)
    trace = Trace.open(folder)
    assert trace.dataset["top_key"][0].values.size
    assert trace.dataset["top_key"][1, 0, 7:].values.size
    for part in ((1,), (1, 0, 6), (slice(None), 0, slice(5, 8)), (1, slice(None), slice(0, 9, 3))):
        with pytest.raises(TraceError, match="top_key is 7 at layer 1, head 0, query 6"):
            trace.dataset["top_key"][part].values  # noqa: B018


def test_float16_is_allowed_its_rounding(tmp_path):
    data = complete().dataset
    entropy = np.log(np.arange(1, 21)) + np.zeros((2, 2, 1))
    narrow = data["entropy"].copy(data=entropy.astype(np.float16))
    path = Trace(data.assign(entropy=narrow)).save(tmp_path / "t.zarr")
    assert (narrow > entropy).any()
    assert Trace.open(path).verify()
    assert Trace.open(path)["entropy"].dtype == np.float32
    wider = data["entropy"].copy(data=(entropy + 0.02).astype(np.float16))
    path = Trace(data.assign(entropy=wider)).save(tmp_path / "u.zarr")
    with pytest.raises(TraceError, match="entropy is "):
        Trace.open(path)


def test_a_comparison_and_its_differences_have_ranges_of_their_own(tmp_path):
    sides = [synthetic(layers=2, heads=2, seed=seed) for seed in (0, 1)]
    difference = compare(*sides)
    assert difference.dataset["entropy"].min() < 0
    result = difference.verify()
    assert result.lines == []
    assert result.values > sum(side.verify().values for side in sides)
    path = difference.save(tmp_path / "d.zarr")
    set_value(path, "b/entropy", (0, 1, 3), 4.0)
    with pytest.raises(TraceError, match=r"b/entropy is 4 at layer 0, head 1, query 3"):
        compare.__globals__["Difference"].open(path)
    wrong = difference.dataset.copy(deep=True).load()
    wrong["entropy"].values[0, 0, 2] = 9
    object.__setattr__(difference, "dataset", wrong)
    assert difference.verify().lines == [
        "B - A of entropy is 9 at layer 0, head 0, query 2, above ln N = 2.83321"
    ]


def test_redacted_traces_and_those_without_facts_pass(tmp_path):
    for number, trace in enumerate((redact(complete()), Trace(complete().dataset.drop_attrs()))):
        opened = Trace.open(trace.save(tmp_path / f"{number}.zarr"))
        assert opened.verify().lines == []


def test_a_query_that_sees_later_keys_may_have_them_as_its_top_key_and_at_negative_distance():
    data = synthetic(layers=2, heads=2).dataset
    n = data.sizes["query"]
    data = data.assign(
        visible=(("layer", "query"), np.full((2, n), n, np.int32)),
        distance=data["distance"] - 5,
        top_key=xr.full_like(data["top_key"], n - 1),
    )
    assert Trace(data).verify().lines == []
    image = synthetic(layers=2, heads=2).dataset
    roles = image["role"].values.copy()
    roles[6:9] = "image"
    image = image.assign_coords(role=("position", roles)).assign(distance=image["distance"] - 3)
    assert Trace(image).verify().lines == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model/parameters", -5), ("model/vocabulary", -1), ("prompt/tokens", 0),
        ("placebo/questions", -6), ("options/temperature", -0.5), ("options/top_p", 1.5),
        ("profile/whole_seconds", -1.0), ("profile/variants/off/seconds", [1.0, -2.0]),
    ],
)  # fmt: skip
def test_numbers_of_attributes_that_cannot_be_are_refused(tmp_path, path, value):
    data = synthetic(layers=2, heads=2).dataset
    first, *inner = path.split("/")
    changed = value
    for key in reversed(inner[1:]):
        changed = {key: changed}
    attribute = {**data.attrs.get(first, {}), inner[0]: changed}
    saved = Trace(data.assign_attrs({first: attribute})).save(tmp_path / "t.zarr")
    with pytest.raises(TraceError, match=f"its attribute {path} is .*, out of range"):
        Trace.open(saved)


def test_what_a_layer_without_attention_would_receive_is_not_held_to_who_sees_it(everything):
    dataset = everything.dataset.copy(deep=True)
    dataset["visible"].values[1] = 0
    for name in ("entropy", "max_prob", "distance", "sink_mass", "varentropy", "lse"):
        dataset[name].values[1] = math.nan
    dataset["received"].values[1, :, :17] = 0.5  # of the prompt
    faults = {fault.variable for fault in Trace(dataset).verify().faults}
    assert "received" not in faults

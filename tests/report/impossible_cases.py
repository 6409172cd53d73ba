"""Stores by number in which values of one variable lie outside of its definition, or just inside.

Each is the trace of `complete`, with the digests of its changed files: nothing but the values is
wrong. What is right is decided by `possible`, not by the code under test.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace import digests
from attentropy.engine.trace.checks.ranges import unchecked_reads
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import REQUESTED_WINDOWS, VARIABLES
from attentropy.report.findings.observations import observe
from attentropy.report.page import page as report_page
from complete import complete
from pictures import without_pictures
from possible import ENDS, SUMS, impossible_numbers

KINDS = ("below", "above", "infinite", "sum", "at the low end", "at the high end", "not measured")
_TOLERANCE = 1e-4
_MARGIN = {"distance": 0.2, "received": 0.2, "varentropy": 0.05}  # beyond the tolerance
# Values that other variables are held to: changing them within their range changes other ranges.
_BOUNDS = ("visible", "sink_keys")


_OTHER_WINDOWS = [
    f"window{part}{i}" for i in REQUESTED_WINDOWS[1:] for part in ("", "_head", "_query", "_key")
]
_PAGES = 4  # of the values that can be, one case in so many draws a page


@dataclass(frozen=True)
class Case:
    """A store with changed values of `variable`; `is_faulty` where these are impossible."""

    number: int
    kind: str
    variable: str
    is_faulty: bool
    path: Path


def save_template(folder: Path) -> Path:
    """Write the store that the cases start from; one requested window stands for all."""
    trace = complete(profile=True)
    return Trace(trace.dataset.drop_vars(_OTHER_WINDOWS), trace.sources).save(folder / "t.zarr")


def make(number: int, template: Path, folder: Path, kinds: Sequence[str] = KINDS) -> Case:
    """Write case `number`, of one of `kinds`, into an empty folder."""
    rng = random.Random(number)
    path = folder / "t.zarr"
    shutil.copytree(template, path, copy_function=os.link)
    while True:
        kind, name = rng.choice(kinds), rng.choice(sorted(set(ENDS) - set(_OTHER_WINDOWS)))
        values = np.asarray(zarr.open_array(str(path / name), mode="r")[...])
        changed = _changed(rng, kind, name, values)
        if changed is not None:
            break
    _write(path, name, changed)
    return Case(number, kind, name, kind in KINDS[:4], path)


def _write(path: Path, name: str, values: np.ndarray) -> None:
    """Replace the values of an array, and the digests of its files."""
    shutil.rmtree(path / name / "c")  # links to the files of the template
    with zarr.config.set({"array.write_empty_chunks": True}):
        zarr.open_array(str(path / name), mode="r+")[...] = values
    written = path / digests.NAME
    sealed = json.loads(written.read_text())
    for file in (path / name / "c").rglob("*"):
        if file.is_file():
            sealed[file.relative_to(path).as_posix()] = digests.digest(file.read_bytes())
    written.unlink()
    written.write_text(json.dumps(sealed))


def _changed(rng: random.Random, kind: str, name: str, values: np.ndarray) -> np.ndarray | None:
    """Return changed values; None where the variable has no such case."""
    dims, kind_of_values = VARIABLES[name]
    values = values.copy()
    is_float = kind_of_values == "f"
    measured = np.argwhere(np.isfinite(values)) if is_float else np.argwhere(values >= 0)
    if name.endswith("without_sinks") or name in ("received", "sink_keys"):
        measured = measured[measured[:, -1] > 0]
    at = tuple(int(i) for i in rng.choice(measured.tolist()))
    if kind == "sum":
        return _row(name, dims, values, at, total=3.0) if name in SUMS else None
    low, high = ENDS[name](dict(zip(dims, at, strict=True)))
    margin = _MARGIN.get(name, 0.01) if is_float else 1
    if kind == "infinite":
        reaches = {np.inf: math.inf in (low, high) and name == "lse", -np.inf: low == -math.inf}
        value = rng.choice([np.inf, -np.inf]) if is_float else None
        if value is None or reaches[value]:
            return None
        values[at] = value
        return values
    if kind == "not measured":
        if not is_float or name in ("generated_logprob", "window", "map") or name in SUMS:
            return None
        values[at] = np.nan
        return values
    if (name in _BOUNDS or name == "thumbnail") and kind not in ("below", "above"):
        return None
    end = low if kind in ("below", "at the low end") else high
    if not math.isfinite(end) or (values.dtype == np.uint8):
        return None
    step = {"below": -rng.choice((margin, 5)), "above": rng.choice((margin, 5))}.get(kind, 0)
    if not is_float:
        step = int(math.copysign(max(1, abs(step)), step)) if step else 0
        if not -(2**31) <= end + step < 2**31 or (values.dtype == np.int8 and abs(end + step) > 99):
            return None
    elif not step:
        step = rng.choice((-0.5, 0, 0.5)) * _TOLERANCE
    if name in SUMS and kind == "at the high end":
        values = _row(name, dims, values, at, total=0.0)
    values[at] = end + step
    return values


def _row(
    name: str, dims: tuple[str, ...], values: np.ndarray, at: tuple[int, ...], total: float
) -> np.ndarray:
    """Return the values with a row through `at` that adds up to `total` times what it may."""
    over, most = SUMS[name]
    axis = dims.index(over)
    place = tuple(slice(None) if i == axis else n for i, n in enumerate(at))
    row = values[place]
    if values.dtype == np.uint8:
        row[:] = 255 if total else 0
    elif name == "lens_top_logprobs":
        row[:] = math.log(total / row.size) if total else -60.0
    elif name in ("window_entropy", "received") and total:
        # Each of them is within its own range.
        ends = [ENDS[name](dict(zip(dims, (*at[:axis], i, *at[axis + 1 :]), strict=True)))[1]
                for i in range(row.size)]  # fmt: skip
        row[np.isfinite(row)] = np.array(ends, row.dtype)[np.isfinite(row)]
    else:
        n = max(2, int(total * most) + 1)
        row[np.isfinite(row)] = 0
        if total:
            own = np.flatnonzero(np.isfinite(row))
            row[own[:n]] = min(1.0, total * most / min(n, own.size))
    return values


def outcome(case: Case) -> str:
    """Return how a case ends: "refused", "found" (by `verify` alone), "opened" or "page".

    Raises ValueError where the outcome is not right.
    """
    return _of_faulty(case) if case.is_faulty else _of_fine(case)


def _of_faulty(case: Case) -> str:
    with unchecked_reads():
        try:
            lines = Trace.open(case.path).verify().lines
        except AttentropyError as error:  # sizes that do not fit
            lines = [str(error)]
    if not any(line.startswith(case.variable) for line in lines):
        raise ValueError(f"verify does not name {case.variable}: {lines[:2]}")
    try:
        _check_page(Trace.open(case.path))
    except AttentropyError as error:
        if "\n" in str(error) or case.variable not in str(error):
            raise ValueError(f"the refusal does not name {case.variable}: {error}") from error
        return "refused"
    return "found"


def _of_fine(case: Case) -> str:
    trace = Trace.open(case.path)
    if lines := trace.verify().lines:
        raise ValueError(f"verify finds a fault in a fine trace: {lines[0]}")
    if case.number % _PAGES:
        trace.dataset.load()
        return "opened"
    _check_page(trace)
    return "page"


def _check_page(trace: Trace) -> None:
    """Raise ValueError for a page with a number that cannot be."""
    with without_pictures():
        page = report_page.render(trace, observe(trace))
    for payload in _payloads(page):
        json.loads(payload, parse_constant=_no_constant)
    if bad := impossible_numbers(page):
        raise ValueError(f"the page prints what cannot be: {bad[:3]}")


def _payloads(page: str) -> list[str]:
    parts = page.split('<script type="application/json" id="')[1:]
    return [part.partition(">")[2].partition("</script>")[0] for part in parts]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in the page's data")

"""Damaged and hostile traces, by the thousand: each is refused in one line or gives a whole page.

    python -m tests.report.fuzz --cases 2000 -o tests/report/fuzz.md

Every case is a small trace, changed by one or two of `CHANGES`, rendered in a process of its own
kind: at most 10 seconds and 1 GiB. What fails is printed with its number, and `--only NUMBER`
runs it again with the traceback.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace import Trace
from attentropy.report.observations import observe
from attentropy.report.page import render
from traces import synthetic

SECONDS, BYTES = 10, 2**30
HOSTILE = (
    "</script><script>alert(1)</script>", "<!--", "]]>", "{{ 7*7 }}", "${alert(1)}", "\u2028",
    "\u202eevil", "\x00\x07\x1b[31m", "javascript:alert(1)", "'\"><img src=x onerror=alert(1)>",
    "A" * 1_000_000, "\ud83d", "é" * 999, "",
)  # fmt: skip
ODD = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**200, 1.5, "NaN", "", [], {}, [1], {"a": 1},
    "../../etc", HOSTILE[0], [[[[]]]], [None] * 3,
)  # fmt: skip

Change = Callable[[random.Random, Path], None]


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _flip(rng: random.Random, folder: Path) -> None:
    file = rng.choice(_files(folder))
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 1, 8, 64)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def _cut(rng: random.Random, folder: Path) -> None:
    file = rng.choice(_files(folder))
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data) + 1)])


def _lose(rng: random.Random, folder: Path) -> None:
    rng.choice(_files(folder)).unlink()


def _swap_files(rng: random.Random, folder: Path) -> None:
    one, other = rng.sample(_files(folder), 2)
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)


def _swap_arrays(rng: random.Random, folder: Path) -> None:
    one, other = rng.sample(sorted(p for p in folder.iterdir() if p.is_dir()), 2)
    aside = folder / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def _edit(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    file = folder / name / "zarr.json" if name else folder / "zarr.json"
    try:
        metadata = json.loads(file.read_bytes())
        change(metadata)
    except (ValueError, LookupError, AttributeError, TypeError, OSError):
        return  # an earlier change left nothing to edit
    file.write_text(json.dumps(metadata))


def _arrays(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir())


def _metadata(rng: random.Random, folder: Path) -> None:
    """One value somewhere in an array's metadata becomes something else, or goes."""

    def change(metadata: dict[str, Any]) -> None:
        holder: Any = metadata
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            key = rng.choice(keys)
            if isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.7:
                holder = holder[key]
            elif rng.random() < 0.2:
                del holder[key]
                return
            else:
                holder[key] = rng.choice(ODD)
                return

    _edit(folder, rng.choice(_arrays(folder)), change)


def _shape(rng: random.Random, folder: Path) -> None:
    def change(metadata: dict[str, Any]) -> None:
        shape = metadata[rng.choice(("shape", "shape", "chunk_grid"))]
        if isinstance(shape, dict):
            shape = shape["configuration"]["chunk_shape"]
        shape[rng.randrange(len(shape))] = rng.choice((0, 1, 2, 7, 10**6, 2**33, 2**62, -5))

    _edit(folder, rng.choice(_arrays(folder)), change)


def _type(rng: random.Random, folder: Path) -> None:
    kinds = (
        "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint64",
        "string", "bool", "complex64", "r16", {"name": "numpy.datetime64"},
    )  # fmt: skip
    _edit(folder, rng.choice(_arrays(folder)), lambda m: m.update(data_type=rng.choice(kinds)))


def _codecs(rng: random.Random, folder: Path) -> None:
    hostile: tuple[dict[str, Any], ...] = (
        {"name": "numcodecs.pickle"}, {"name": "gzip", "configuration": {"level": 5}},
        {"name": "zstd", "configuration": {"level": 10**9, "checksum": False}},
        {"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"},
        {"name": "transpose", "configuration": {"order": [2, 1, 0]}}, {"name": "blosc"},
        {"name": "vlen-utf8"}, {"name": "sharding_indexed", "configuration": {}},
    )  # fmt: skip

    def change(metadata: dict[str, Any]) -> None:
        codecs = metadata["codecs"]
        if rng.random() < 0.5:
            codecs.insert(rng.randrange(len(codecs) + 1), rng.choice(hostile))
        else:
            codecs[rng.randrange(len(codecs))] = rng.choice(hostile)

    _edit(folder, rng.choice(_arrays(folder)), change)


def _attributes(rng: random.Random, folder: Path) -> None:
    def change(metadata: dict[str, Any]) -> None:
        holder = metadata["attributes"]
        while True:
            key = rng.choice(sorted(holder))
            if isinstance(holder[key], dict) and holder[key] and rng.random() < 0.6:
                holder = holder[key]
                continue
            holder[key] = rng.choice((*ODD, *HOSTILE))
            return

    _edit(folder, "", change)


def _values(rng: random.Random, folder: Path) -> None:
    """Some values of an array become what no recording leaves there."""
    import zarr

    name = rng.choice(_arrays(folder))
    try:
        array = zarr.open_array(str(folder / name), mode="r+")
        values = np.asarray(array[...])
        if not values.size:
            return
        flat = values.reshape(-1)
        for _ in range(rng.choice((1, 3, values.size))):
            at = rng.randrange(flat.size)
            if flat.dtype.kind == "f":
                flat[at] = rng.choice((np.nan, np.inf, -np.inf, -1.0, 3e38, 1e-45))
            elif flat.dtype.kind in "iu":
                low, high = np.iinfo(flat.dtype).min, np.iinfo(flat.dtype).max
                flat[at] = rng.choice((low, high, -1 if low else 0, 0, 100, 10_000))
            else:
                flat[at] = rng.choice(HOSTILE).encode("utf-8", "replace").decode()
        array[...] = values
    except Exception:  # an earlier change left an array that zarr itself cannot write
        return


def _stranger(rng: random.Random, folder: Path) -> None:
    """Something that a trace does not hold, or links that lead out of it."""
    place = folder / rng.choice(("entropy", "evil", "c", "zarr.json.bak"))
    if rng.random() < 0.5 and not place.exists():
        place.symlink_to(rng.choice(("/etc", "/dev/zero", "..", "entropy")))
    elif place.is_dir():
        (place / "x").write_bytes(b"\0" * 100)
    else:
        place.write_bytes(b"\0" * 100)


CHANGES: tuple[Change, ...] = (
    _flip, _cut, _lose, _swap_files, _swap_arrays, _metadata, _shape, _type, _codecs, _attributes,
    _attributes, _values, _values, _stranger,
)  # fmt: skip


def make(number: int, template: Path, folder: Path) -> tuple[str, Path]:
    """Case `number` in `folder`: what was done to it, and the trace's path."""
    rng = random.Random(number)
    trace = folder / "t.zarr"
    shutil.copytree(template, trace)
    done = [rng.choice(CHANGES) for _ in range(rng.choice((1, 1, 1, 2)))]
    for change in done:
        change(rng, trace)
    names = " + ".join(change.__name__.strip("_") for change in done)
    if rng.random() < 0.3 and not any(p.is_symlink() for p in trace.rglob("*")):
        packed = folder / "t.zarr.zip"
        kind = rng.choice((zipfile.ZIP_STORED,) * 5 + (zipfile.ZIP_DEFLATED,))
        with zipfile.ZipFile(packed, "w", kind) as archive:
            for file in _files(trace):
                name = file.relative_to(trace).as_posix()
                archive.write(file, rng.choice((name,) * 60 + (f"../{name}", f"/{name}")))
        if rng.random() < 0.3:
            data = bytearray(packed.read_bytes())
            del data[rng.randrange(len(data)) :]
            packed.write_bytes(data)
            names += " + cut archive"
        return f"{names}, zip", packed
    return names, trace


def outcome(path: Path, scripts: int) -> str:
    """ "page" or "refused"; raises whatever else happens, and for a page that is not whole, which
    has so many script elements."""
    try:
        trace = Trace.open(path)
        page = render(trace, observe(trace))
    except AttentropyError as error:
        if "\n" in str(error):
            raise ValueError(f"a refusal of several lines: {error}") from error
        return "refused"
    payload = re.search(r'<script type="application/json" id="report">(.*?)</script>', page, re.S)
    json.loads(payload[1] if payload else "", parse_constant=_no_constant)
    if len(re.findall(r"<script\b", page)) != scripts or not page.endswith("</html>\n"):
        raise ValueError("the page is broken")
    if re.search(r"<img src=x|<script>alert", page):
        raise ValueError("markup of the trace reached the page")
    return "page"


def whole(template: Path) -> int:
    """How many script elements the page of the undamaged trace has."""
    trace = Trace.open(template)
    return len(re.findall(r"<script\b", render(trace, observe(trace))))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in the page's data")


def _work(numbers: Any, results: Any, template: Path) -> None:
    """Cases one after the other, in a process that may take no more than 1 GiB beyond its own."""
    scripts = whole(template)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    for number in iter(numbers.get, None):
        with tempfile.TemporaryDirectory() as folder:
            names, path = make(number, template, Path(folder))
            results.put((number, names, None, 0.0))
            started = time.perf_counter()
            try:
                found = outcome(path, scripts)
            except BaseException as error:
                found = f"{type(error).__name__}: {str(error)[:300]}"
            results.put((number, names, found, time.perf_counter() - started))


def run(cases: range, processes: int) -> dict[int, tuple[str, str, float]]:
    """What became of each case: what was done, the outcome, the seconds."""
    context = multiprocessing.get_context("spawn")
    found: dict[int, tuple[str, str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        template = synthetic(layers=3, heads=2).save(Path(folder) / "t.zarr")
        shares = [list(cases)[i::processes] for i in range(processes)]
        workers = [_Worker(context, share, template) for share in shares]
        while any(worker.step(found) for worker in workers):
            time.sleep(0.01)
    return found


class _Worker:
    """A process that works off its share, and is replaced where a case hangs or kills it."""

    def __init__(self, context: Any, share: list[int], template: Path) -> None:
        self.context, self.left, self.template = context, share, template
        self._start()

    def _start(self) -> None:
        self.numbers, self.results = self.context.Queue(), self.context.Queue()
        for number in (*self.left, None):
            self.numbers.put(number)
        arguments = (self.numbers, self.results, self.template)
        self.process = self.context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        self.current: tuple[int, str] | None = None
        self.since = time.perf_counter()

    def step(self, found: dict[int, tuple[str, str, float]]) -> bool:
        """Take in what is done; whether there is more to do."""
        while not self.results.empty():
            number, names, result, seconds = self.results.get()
            self.since = time.perf_counter()
            self.current = (number, names) if result is None else None
            if result is not None:
                found[number] = (names, result, seconds)
                self.left.remove(number)
        hangs = self.current is not None and time.perf_counter() - self.since > SECONDS
        if self.left and (hangs or not self.process.is_alive()) and self.results.empty():
            if self.current is None:
                raise RuntimeError("a worker ended without a case")
            number, names = self.current
            found[number] = (names, f"over {SECONDS} s" if hangs else "the process died", SECONDS)
            self.left.remove(number)
            self.process.kill()
            self._start()
        return bool(self.left)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="one case, with its traceback")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    if given.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            template = synthetic(layers=3, heads=2).save(Path(folder) / "t.zarr")
            names, path = make(given.only, template, Path(folder) / "case")
            print(names)
            try:
                print(outcome(path, whole(template)))
            except Exception:
                traceback.print_exc()
        return
    started = time.perf_counter()
    found = run(range(given.first, given.first + given.cases), given.processes)
    bad = {n: case for n, case in sorted(found.items()) if case[1] not in ("page", "refused")}
    for number, (names, result, seconds) in bad.items():
        print(f"{number}: {names}: {result} ({seconds:.1f} s)")
    text = report(found, time.perf_counter() - started)
    print(text)
    if given.output:
        given.output.write_text(text)
    sys.exit(1 if bad else 0)


def report(found: dict[int, tuple[str, str, float]], seconds: float) -> str:
    """The result as Markdown."""
    kinds = Counter(
        result if result in ("page", "refused") else "failed" for _, result, _ in found.values()
    )
    slowest = max((seconds for _, _, seconds in found.values()), default=0.0)
    return (
        "# Damaged and hostile traces\n\n"
        f"`python -m tests.report.fuzz --cases {len(found)}`: {kinds['refused']:,} refused in one "
        f"line, {kinds['page']:,} whole pages, {kinds['failed']:,} failures (a traceback, more "
        f"than {SECONDS} s, more than 1 GiB, markup in the page).\n\n"
        f"The slowest case took {slowest:.1f} s, all of them {seconds / 60:.0f} min; Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}.\n"
    )


if __name__ == "__main__":
    main()

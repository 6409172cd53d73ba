"""Damaged and hostile traces, by the thousand: each is refused in one line or gives a true page.

    python -m tests.report.fuzz --cases 2000 -o tests/report/fuzz.md

Every case is a small trace (with `--of comparison` a saved comparison), as a folder or as an
archive, with one or two changes of `KINDS`. Half of the cases are accidents: the digests stay as
they were, and if there is a page, it must be equal to that of the undamaged store. The other half
come from a stranger, who updates the digests after the change, and the copies of metadata: their
pages must be well-formed. One case in eight draws its pictures; the others only compute the values
of the pictures. A case may take 10 seconds and 1 GiB. Each failure is printed with its number, and
`--only NUMBER` runs the case again with its traceback.
"""

from __future__ import annotations

import argparse
import contextlib
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
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.digests import seal
from attentropy.report.compare import stored
from attentropy.report.compare.difference import compare
from attentropy.report.content import read_report
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.findings.observations import observe
from attentropy.report.page import drawings
from attentropy.report.page import page as report_page
from attentropy.report.page.document import Still
from traces import CHAT, renumbered, reseal, synthetic

SECONDS, BYTES = 10, 2**30
_WALL = 6 * SECONDS  # wall time of a case, which shares the processor with other work
_DRAWN = 8  # one of this many cases draws its pictures
HOSTILE = (
    "</script><script>alert(1)</script>", "<!--", "]]>", "{{ 7*7 }}", "${alert(1)}", "\u2028",
    "\u202eevil", "\x00\x07\x1b[31m", "javascript:alert(1)", "'\"><img src=x onerror=alert(1)>",
    "A" * 1_000_000, "\ud83d", "é" * 999, "",
)  # fmt: skip
ODD = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**200, 1.5, "NaN", "", [], {}, [1], {"a": 1},
    "../../etc", HOSTILE[0], [[[[]]]], [None] * 3,
)  # fmt: skip

Case = tuple[str, str, float]  # the changes, the outcome, the processor time in seconds
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
    one, other = rng.sample([folder / name for name in _arrays(folder)], 2)
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
    """Return the names of the arrays, those of a comparison's sides as a/NAME and b/NAME."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir())
    sides = [name for name in names if name in ("a", "b")]
    inner = [f"{side}/{p.name}" for side in sides for p in sorted((folder / side).iterdir())
             if p.is_dir()]  # fmt: skip
    return [name for name in names if name not in sides] + inner


def _groups(folder: Path) -> list[str]:
    """Return the names of the groups: the store itself, and the sides of a comparison."""
    return ["", *(side for side in ("a", "b") if (folder / side).is_dir())]


def _metadata(rng: random.Random, folder: Path) -> None:
    """Replace or delete one value somewhere in the metadata of an array."""

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
        {"name": "numcodecs.zlib", "configuration": {"level": 1}}, {"name": ["zstd"]}, {},
        {"name": "cast_value"}, {"name": "zstd", "configuration": {"level": 1, "x": 1}},
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

    groups = _groups(folder)
    _edit(folder, rng.choice(groups) if len(groups) > 1 else groups[0], change)


def _copies(rng: random.Random, folder: Path) -> None:
    """Change the copy of the metadata that other programs read, and nothing else."""

    def change(metadata: dict[str, Any]) -> None:
        holder: Any = metadata["consolidated_metadata"]
        while True:
            key = rng.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
            if isinstance(holder[key], (dict, list)) and holder[key] and rng.random() < 0.8:
                holder = holder[key]
                continue
            holder[key] = rng.choice(ODD)
            return

    _edit(folder, rng.choice(_groups(folder)), change)


def _values(rng: random.Random, folder: Path) -> None:
    """Replace some values of an array by values that no recording writes."""
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
    """Add a file that does not belong to a trace, or a link that leads out of the trace."""
    place = folder / rng.choice(("entropy", "evil", "c", "zarr.json.bak"))
    if rng.random() < 0.5 and not place.exists():
        place.symlink_to(rng.choice(("/etc", "/dev/zero", "..", "entropy")))
    elif place.is_dir():
        (place / "x").write_bytes(b"\0" * 100)
    else:
        place.write_bytes(b"\0" * 100)


KINDS: dict[str, tuple[Change, ...]] = {
    "bit flips": (_flip,),
    "truncations": (_cut, _lose),
    "swapped arrays": (_swap_files, _swap_arrays),
    "wrong types": (_type,),
    "huge shapes": (_shape,),
    "hostile codecs": (_codecs,),
    "metadata": (_metadata,),
    "attributes": (_attributes,),
    "values": (_values,),
    "files and links": (_stranger,),
}
# Of comparisons alone: the numbers of the cases of traces keep their meaning.
COPIES: dict[str, tuple[Change, ...]] = {"copies of metadata": (_copies,)}


def save_template(of: str, folder: Path) -> Path:
    """Write the undamaged store that the cases start from, "trace" or "comparison"."""
    trace = synthetic(layers=3, heads=2)
    if of == "trace":
        return trace.save(folder / "t.zarr")
    other = synthetic([*CHAT[:7], " a", *CHAT[7:]], layers=3, heads=2, seed=1)
    return compare(trace, renumbered(other, trace), ("one", "other")).save(folder / "t.zarr")


def kinds_of(template: Path) -> dict[str, tuple[Change, ...]]:
    """Return the kinds of changes that are made to a template."""
    return KINDS | COPIES if (template / "a").is_dir() else KINDS


def make(number: int, template: Path, folder: Path) -> tuple[str, Path]:
    """Write case `number`; return its name "kind, place, whose: changes" and its path."""
    rng = random.Random(number)
    trace = folder / "t.zarr"
    shutil.copytree(template, trace)
    kinds = kinds_of(template)
    kind = list(kinds)[number % len(kinds)]
    others = [change for changes in kinds.values() for change in changes]
    done = [rng.choice(kinds[kind])]
    done += [rng.choice(others)] if rng.random() < 0.25 else []
    for change in done:
        change(rng, trace)
    names = " + ".join(change.__name__.strip("_") for change in done)
    links = any(p.is_symlink() for p in trace.rglob("*"))
    whose = "stranger" if rng.random() < 0.5 and not links else "accident"
    if whose == "stranger":
        seal(trace) if _copies in done else reseal(trace)
    if links or rng.random() < 0.6:
        return f"{kind}, folder, {whose}: {names}", trace
    packed = folder / "t.zarr.zip"
    odd = _pack(rng, trace, packed) if rng.random() < 0.3 else _pack(None, trace, packed)
    return f"{kind}, zip, {whose}: {names}{odd}", packed


def _pack(rng: random.Random | None, trace: Path, target: Path) -> str:
    """Pack the trace as an archive, damaged if there is an `rng`; return a note of the damage."""
    way = rng.choice(("cut", "flip", "out", "deflated", "twice", "link", "nested")) if rng else ""
    kind = zipfile.ZIP_DEFLATED if way == "deflated" else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", kind) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = _files(trace)
        for file in files:
            archive.write(file, file.relative_to(trace).as_posix())
        if rng is None:
            return ""
        one = rng.choice(files)
        name, data = one.relative_to(trace).as_posix(), one.read_bytes()
        if way == "out":
            archive.writestr(rng.choice((f"../{name}", f"/{name}", f"a\\{name}")), data)
        elif way == "twice":
            archive.writestr(name, data)
        elif way == "link":
            info = zipfile.ZipInfo("entropy/c/9")
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
        elif way == "nested":
            archive.writestr("inner.zip", data)
    content = bytearray(target.read_bytes())
    if way == "cut":
        del content[rng.randrange(len(content)) :]
    elif way == "flip":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    target.write_bytes(content)
    return f" + {way} archive"


def outcome(path: Path, names: str, whole: str, drawn: bool) -> str:
    """Return "page" or "refused" for a trace.

    Raises ValueError for a page that is not well-formed, and for a page of an accident that differs
    from `whole`, the page of the undamaged trace. All errors but AttentropyError are passed on.
    """
    try:
        page = rendered(path, drawn)
    except AttentropyError as error:
        if "\n" in str(error) or len(str(error)) > 400:
            raise ValueError(f"a refusal of several lines: {error}") from error
        return "refused"
    for name in ("report", "later"):
        payload = re.search(
            rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S
        )
        if payload or name == "report":
            json.loads(payload[1] if payload else "", parse_constant=_no_constant)
    scripts = re.findall(r"<script\b", page)
    if len(scripts) != len(re.findall(r"<script\b", whole)) or not page.endswith("</html>\n"):
        raise ValueError("the page is broken")
    if re.search(r"<img src=x|<script>alert", page):
        raise ValueError("markup of the trace reached the page")
    if ", accident:" in names and page != whole:
        raise ValueError("a damaged trace gives another page")
    return "page"


def rendered(path: Path, drawn: bool) -> str:
    """Return the page of a trace; if not `drawn`, without its pictures."""
    trace = stored.open(path)
    findings = observe(trace)
    with contextlib.nullcontext() if drawn else without_pictures():
        return report_page.render(trace, findings)


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Let pages be written without their pictures, whose values are computed all the same."""
    still = Still("data:,", "data:,", 1, 1)
    with contextlib.ExitStack() as stack:
        for module, name, replacement in (
            (read_report, "opening_charts", _sketched),
            (drawings, "_specification", lambda _: ""),
            (drawings, "draw_still", lambda _: still),
        ):
            stack.enter_context(mock.patch.object(module, name, replacement))
        yield


def _sketched(
    trace: Trace, shown: Any, attention: Any, rows: Any, sizes: Any, placed: Any
) -> dict[str, Any]:
    """Compute the values of the figure without drawing them."""
    for name, size in sizes.items():
        json.dumps(cells.datasets(trace, size, placed[name], shown[0], rows), allow_nan=False)
        json.dumps(cells.state(trace, size, placed[name], shown[0]), allow_nan=False)
    return {"figure": {"wide": {}, "narrow": {}}}


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in the page's data")


def _work(numbers: Any, results: Any, template: Path) -> None:
    """Run cases one after the other in a process that may take 1 GiB of additional memory."""
    whole = {drawn: rendered(template, drawn) for drawn in (False, True)}
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    for number in iter(numbers.get, None):
        with tempfile.TemporaryDirectory() as folder:
            names, path = make(number, template, Path(folder))
            results.put((number, names, None, 0.0))
            started = time.process_time()
            drawn = number // len(KINDS) % _DRAWN == 0
            try:
                result = outcome(path, names, whole[drawn], drawn)
            except BaseException as error:
                result = f"{type(error).__name__}: {str(error)[:300]}"
            seconds = time.process_time() - started
            if seconds > SECONDS and result in ("page", "refused"):
                result = f"over {SECONDS} s"
            results.put((number, names, result, seconds))


def run(
    cases: range, processes: int, stream: Path | None = None, of: str = "trace"
) -> dict[int, Case]:
    """Run the cases and return their outcomes; append each to `stream` as a line of JSON."""
    context = multiprocessing.get_context("spawn")
    outcomes: dict[int, Case] = {}
    n_written = 0
    with tempfile.TemporaryDirectory() as folder:
        template = save_template(of, Path(folder))
        shares = [list(cases)[i::processes] for i in range(processes)]
        workers = [_Worker(context, share, template) for share in shares if share]
        going = True
        while going:
            time.sleep(0.01)
            going = sum(worker.step(outcomes) for worker in workers) > 0
            if stream is not None and len(outcomes) > n_written:
                with open(stream, "a", encoding="utf-8") as file:
                    for number in list(outcomes)[n_written:]:
                        file.write(json.dumps([number, *outcomes[number]]) + "\n")
                n_written = len(outcomes)
    return outcomes


class _Worker:
    """A process that runs its share of the cases and is replaced if a case hangs or kills it."""

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

    def step(self, outcomes: dict[int, Case]) -> bool:
        """Collect finished cases; return whether cases are left."""
        while not self.results.empty():
            number, names, result, seconds = self.results.get()
            self.since = time.perf_counter()
            self.current = (number, names) if result is None else None
            if result is not None:
                outcomes[number] = (names, result, seconds)
                self.left.remove(number)
        hangs = self.current is not None and time.perf_counter() - self.since > _WALL
        if self.left and (hangs or not self.process.is_alive()) and self.results.empty():
            if self.current is None:
                raise RuntimeError("a worker ended without a case")
            number, names = self.current
            outcomes[number] = (names, f"over {_WALL} s" if hangs else "the process died", SECONDS)
            self.left.remove(number)
            self.process.kill()
            self._start()
        return bool(self.left)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=("trace", "comparison"), default="trace")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", type=int, help="one case, with its traceback")
    parser.add_argument("--stream", type=Path, help="results as they come, a line of JSON each")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            template = save_template(arguments.of, Path(folder))
            names, path = make(arguments.only, template, Path(folder) / "case")
            print(names)
            try:
                drawn = arguments.only // len(KINDS) % _DRAWN == 0
                print(outcome(path, names, rendered(template, drawn), drawn))
            except Exception:
                traceback.print_exc()
        return
    started = time.perf_counter()
    outcomes = run(
        range(arguments.first, arguments.first + arguments.cases),
        arguments.processes,
        arguments.stream,
        arguments.of,
    )
    bad = {n: case for n, case in sorted(outcomes.items()) if case[1] not in ("page", "refused")}
    for number, (names, result, seconds) in bad.items():
        print(f"{number}: {names}: {result} ({seconds:.1f} s)")
    text = report(outcomes, time.perf_counter() - started, arguments.of)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    sys.exit(1 if bad else 0)


def report(outcomes: dict[int, Case], seconds: float, of: str = "trace") -> str:
    """Return the outcomes as a Markdown table with a description."""
    rows: dict[str, Counter[str]] = {}
    for names, result, _ in outcomes.values():
        verdict = result if result in ("page", "refused") else "failed"
        kind, place, whose = names.split(":")[0].split(", ")
        for row in (kind, place, {"accident": "an accident", "stranger": "a stranger's"}[whose]):
            rows.setdefault(row, Counter())[verdict] += 1
    kinds = KINDS | COPIES
    order = [*kinds, *(row for row in rows if row not in kinds)]
    total = Counter(r if r in ("page", "refused") else "failed" for _, r, _ in outcomes.values())
    lines = [
        f"| {name} | {counts['refused']:,} | {counts['page']:,} | {counts['failed']:,} |"
        for name, counts in [*((row, rows[row]) for row in order if row in rows), ("all", total)]
    ]
    slowest = max((seconds for _, _, seconds in outcomes.values()), default=0.0)
    versions = ", ".join(f"{name} {version(name)}" for name in ("zarr", "numcodecs", "numpy"))
    return (
        f"# Damaged and hostile {of}s\n\n"
        f"`python -m tests.report.fuzz --of {of} --first {min(outcomes, default=0)} "
        f"--cases {len(outcomes)}` (a case's number is its seed).\n\n"
        "| what was changed first | refused in one line | page | failed |\n"
        "| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\n"
        f"Failed is a traceback, over {SECONDS} s of the processor or {_WALL} s in all, over 1 GiB "
        "beyond the process's own, markup in the page, or of an accident a page other than the "
        "undamaged trace's. An accident leaves the trace's digests as they were; a stranger seals "
        f"what they changed. One case in {_DRAWN} draws its pictures. The slowest took "
        f"{slowest:.1f} s, all of them {seconds / 60:.0f} min on a shared machine; Python "
        f"{platform.python_version()}, {versions}, {platform.system()} {platform.machine()}.\n"
    )


if __name__ == "__main__":
    main()

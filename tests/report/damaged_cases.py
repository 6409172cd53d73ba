"""Damaged stores by number, and whether the page that one gives is true."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import warnings
import zipfile
from pathlib import Path

from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.digests import seal
from attentropy.report.compare import stored
from attentropy.report.compare.difference import compare
from attentropy.report.findings.observations import observe
from attentropy.report.page import page as report_page
from damage import COPIES, KINDS, Change, copies, files_of
from pictures import without_pictures
from traces import CHAT, renumbered, reseal, synthetic


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
        seal(trace) if copies in done else reseal(trace)
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
        files = files_of(trace)
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


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} in the page's data")

"""Files from a stranger by number, of every kind that a command reads, and the command to try."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.trace.partial import PartialTrace
from complete import complete
from damage import HOSTILE, KINDS, ODD, files_of
from damaged_cases import save_template
from hostile_claims import claim_much
from traces import reseal

Case = tuple[str, list[str]]  # its name "kind: changes", and the arguments of attentropy
_TEMPLATES = ("t.zarr", "complete.zarr")
_FIGURES = ("lens", "attention", "map", "heads", "story", "sources", "profile")


def save_templates(folder: Path) -> Path:
    """Write the undamaged files that the cases start from."""
    trace = save_template("trace", folder)
    complete(profile=True).save(folder / "complete.zarr")
    saved = shutil.copytree(trace, folder / "start.zarr")
    (saved / "written.json").unlink()
    run = PartialTrace(folder / "p.zarr")
    run.begin({"tokens": 17, "chunk": 6}, lambda target: shutil.copytree(saved, target))
    for chunk in range(4):
        answer = {"ids": [5], "texts": [" a"], "roles": ["generated"]} if chunk > 1 else {}
        facts = {"vocabulary": json.dumps({"3": " b"}), "answer": json.dumps(answer)}
        file = run.folder / "commits" / f"{chunk:06d}.safetensors"
        file.write_bytes(save({"logits": np.zeros((1, 1, 8), np.float32)}, facts))
    case = AttentionCase(64, 2, 2, 16, True, "float32", "cpu")
    rows = (Row(0, "a", "b", 1e9, (1.0, 2.0, 3.0), 3, 10, {"entropy": 0.1}),)
    results = Results(
        "attention", "attentropy bench", "a", {"device": "x"}, {"flops_per_second": 1e12},
        (case,), rows,
    )  # fmt: skip
    (folder / "bench.json").write_text(results.to_json())
    (folder / "segments.json").write_text('{"one": [0, 9], "two": "is"}')
    return folder


def make(number: int, templates: Path, folder: Path) -> Case:
    """Write the files of case `number` into `folder`; return its name and its command."""
    rng = random.Random(number)
    kind = list(_MAKERS)[number % len(_MAKERS)]
    names, arguments = _MAKERS[kind](rng, templates, folder)
    return f"{kind}: {names}", arguments


def _trace(rng: random.Random, templates: Path, folder: Path) -> Case:
    """Make up to three changes of a trace, most of them sealed again."""
    trace = shutil.copytree(templates / rng.choice(_TEMPLATES), folder / "t.zarr")
    changes = rng.sample([c for kind in KINDS.values() for c in kind], rng.choice((1, 1, 2, 3)))
    for change in changes:
        change(rng, trace)
    if rng.random() < 0.3:
        _spoil(rng, rng.choice([f for f in files_of(trace) if f.suffix == ".json"] or [trace]))
    is_linked = any(p.is_symlink() for p in trace.rglob("*"))
    if rng.random() < 0.8 and not is_linked:
        reseal(trace)
    names = " + ".join(change.__name__.strip("_") for change in changes)
    if rng.random() < 0.4 and not is_linked:
        return names, _command(rng, _packed(trace), templates)
    return names, _command(rng, trace, templates)


def _archive(rng: random.Random, templates: Path, folder: Path) -> Case:
    """Damage the directory, the end or an entry of an archive."""
    path = _packed(shutil.copytree(templates / "t.zarr", folder / "t.zarr"))
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\5\6")
    start = struct.unpack("<L", data[end + 16 : end + 20])[0]
    way = rng.choice(("field", "end", "locator", "zip64", "comment", "cut", "name", "directory",
                      "tail", "local", "overlap"))  # fmt: skip
    if way == "field":  # of one entry in the directory
        at = start
        for _ in range(rng.randrange(20)):
            name, extra, comment = struct.unpack("<HHH", data[at + 28 : at + 34])
            at += 46 + name + extra + comment
        offset = at + rng.choice((6, 8, 10, 12, 16, 20, 24, 28, 30, 32, 34, 36, 38, 42))
        data[offset : offset + 2] = rng.randbytes(2)
    elif way == "end":
        offset = end + rng.choice((4, 6, 8, 10, 12, 16, 20))
        data[offset : offset + 2] = rng.randbytes(2)
    elif way == "locator":  # one that says nothing true
        place = rng.choice((0, 1, 2**31)), rng.choice((0, end, 2**62)), rng.choice((0, 1, 9))
        data[end:end] = b"PK\6\7" + struct.pack("<LQL", *place)
    elif way == "zip64":  # a whole large directory, or its beginning
        record = b"PK\6\6" + rng.randbytes(rng.choice((0, 3, 52)))
        data[end:end] = record + b"PK\6\7" + struct.pack("<LQL", 0, end, 1)
        data[-6:-2] = b"\xff\xff\xff\xff"
    elif way == "comment":
        data[-2:] = struct.pack("<H", rng.choice((5, 65535)))
        data += b"PK\5\6" * rng.choice((1, 9000))
    elif way == "cut":
        del data[rng.randrange(len(data)) :]
    elif way == "name":
        new = rng.choice((b"\0", b"\\", b"\xff", b"/", b".."))
        at = data.index(b"zarr.json", start)
        data[at : at + len(new)] = new
    elif way == "directory":
        for _ in range(rng.choice((1, 9))):
            data[rng.randrange(start, end)] = rng.randrange(256)
    elif way == "tail":
        data += rng.randbytes(rng.choice((1, 22, 70_000)))
    elif way == "local":
        at = rng.choice([i for i in range(start) if data[i : i + 4] == b"PK\3\4"][:50])
        data[at + rng.randrange(30)] = rng.randrange(256)
    else:  # two entries with the same bytes
        offset = start + 42
        name, extra, comment = struct.unpack("<HHH", data[start + 28 : start + 34])
        other = start + 46 + name + extra + comment + 42
        data[other : other + 4] = data[offset : offset + 4]
    path.write_bytes(data)
    return way, _command(rng, path, templates)


def _claim(rng: random.Random, templates: Path, folder: Path) -> Case:
    trace = shutil.copytree(templates / rng.choice(_TEMPLATES), folder / "t.zarr")
    names = claim_much(rng, trace)
    packed = _packed(trace) if rng.random() < 0.5 else trace
    return names, _command(rng, packed, templates)


def _partial(rng: random.Random, templates: Path, folder: Path) -> Case:
    """Make the folder of an unfinished run into one that no run left."""
    run = shutil.copytree(templates / "p.zarr.partial", folder / "t.zarr.partial")
    commits = sorted((run / "commits").iterdir())
    way = rng.choice(("run", "run value", "commit", "header", "facts", "lost", "many", "pipe",
                      "link", "socket", "arrays", "arrays", "huge", "sparse"))  # fmt: skip
    if way == "run":
        _spoil(rng, run / "run.json")
    elif way == "run value":
        content = json.loads((run / "run.json").read_text())
        content[rng.choice([*content, "answer"])] = rng.choice((*ODD, 10**6, 10**15, *HOSTILE))
        (run / "run.json").write_text(json.dumps(content))
    elif way == "commit":
        file = rng.choice(commits)
        data = bytearray(file.read_bytes())
        for _ in range(rng.choice((1, 9))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        file.write_bytes(data[: rng.choice((len(data), rng.randrange(len(data)) + 1))])
    elif way == "header":
        rng.choice(commits).write_bytes(
            struct.pack("<Q", rng.choice((0, 1, 2**20, 2**40, 2**63)))
            + rng.choice((b"", b"{}", b"[" * 9000))
        )
    elif way == "facts":
        _hostile_facts(rng, rng.choice(commits))
    elif way == "lost":
        rng.choice(commits).unlink()
    elif way == "many":
        for chunk in range(rng.choice((10, 2000))):
            (run / "commits" / f"{chunk:06d}.safetensors").write_bytes(commits[-1].read_bytes())
    elif way in ("pipe", "link", "socket"):
        _put(rng, run, way)
    elif way == "arrays":
        rng.choice([c for kind in KINDS.values() for c in kind])(rng, run / "trace.zarr")
    elif way == "huge":
        for file in sorted((run / "trace.zarr").glob("*/zarr.json")):
            metadata = json.loads(file.read_text())
            at = rng.choice(("query", "layer", "head"))
            if at in metadata["dimension_names"]:
                metadata["shape"][metadata["dimension_names"].index(at)] = 10 ** rng.randrange(2, 9)
                file.write_text(json.dumps(metadata))
    else:
        with open(rng.choice([f for f in files_of(run) if f.is_file()]), "ab") as file:
            file.truncate(rng.choice((2**20, 6 * 2**30)))
    command = rng.choice(("render", "info"))
    rest = ["-o", "x.html", "--partial"] if command == "render" else []
    return way, [command, str(run), *rest]


def _put(rng: random.Random, run: Path, way: str) -> None:
    """Put something that is neither a file nor a folder in place of a file of a run."""
    place = rng.choice((
        run / "run.json", run / "commits/000001.safetensors", run / "cache/000000.safetensors",
        run / "trace.zarr/zarr.json", run / "trace.zarr/entropy/c/0/0/0", run / "extra",
    ))  # fmt: skip
    place.unlink(missing_ok=True)
    if way == "pipe":
        os.mkfifo(place)
    elif way == "link":
        place.symlink_to(rng.choice(("/dev/zero", "/etc/hostname", "..", "nowhere")))
    else:
        import socket

        here = os.getcwd()
        os.chdir(place.parent)  # the path of a socket is short
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(place.name)
        os.chdir(here)


def _hostile_facts(rng: random.Random, commit: Path) -> None:
    odd = rng.choice((*ODD, *HOSTILE))
    answer = {"ids": [7], "texts": [" a"], "roles": ["generated"], "tokens": [[7, 0.5, 0, 0.1]]}
    answer[rng.choice(list(answer))] = rng.choice((odd, [odd], [2**40], ["\ud83d"], [-9]))
    texts = rng.choice((
        json.dumps({"answer": answer}), json.dumps([odd]), "[" * 9000, '{"a": NaN}', "x",
        json.dumps({str(2**40): "a"}), json.dumps({"3": odd}), '{"3": "\\ud800"}',
    ))  # fmt: skip
    name = rng.choice(("answer", "vocabulary", "errors", "run", "chunk"))
    facts = {name: json.dumps(answer) if name == "answer" and rng.random() < 0.5 else texts}
    facts = {key: value.encode("utf-8", "replace").decode() for key, value in facts.items()}
    commit.write_bytes(save({"logits": np.zeros((1, 1, 8), np.float32)}, facts))


def _bench(rng: random.Random, templates: Path, folder: Path) -> Case:
    """Change a value of a benchmark's results, or their text."""
    path = folder / "bench.json"
    content = json.loads((templates / "bench.json").read_text())
    if rng.random() < 0.4:
        path.write_text(json.dumps(content))
        _spoil(rng, path)
        names = "text"
    else:
        names = _replace_one(rng, content)
        path.write_text(json.dumps(content))
    rest = rng.choice((["--html", "x.html"], ["--json"], []))
    return names, ["bench", "--read", str(path), *rest]


def _segments(rng: random.Random, templates: Path, folder: Path) -> Case:
    """Name parts of a prompt that it does not have."""
    path = folder / "segments.json"
    values: list[Any] = [*ODD, *HOSTILE, [0, 5], [-1, 2**70], [5, 0], [0, 10**9], {"a": [1]}, "is"]
    content = {rng.choice((*HOSTILE, "a")): rng.choice(values) for _ in range(rng.choice((1, 3)))}
    if rng.random() < 0.3:
        content = {rng.choice(HOSTILE) or "a": [0, 5], "b": "is"}
    path.write_text(json.dumps(rng.choice((content, content, rng.choice(values)))))
    if rng.random() < 0.4:
        _spoil(rng, path)
    trace = str(templates / "t.zarr")
    command = rng.choice((["render", trace, "-o", "x.html"],
                          ["export", trace, "--by", "segment", "-o", "x.csv"]))  # fmt: skip
    return "segments", [*command, "--segments", str(path)]


_MAKERS: dict[str, Callable[[random.Random, Path, Path], Case]] = {
    "traces": _trace, "archives": _archive, "claims": _claim, "unfinished runs": _partial,
    "bench results": _bench, "segments": _segments,
}  # fmt: skip
KINDS_OF_FILES = tuple(_MAKERS)


def _command(rng: random.Random, path: Path, templates: Path) -> list[str]:
    """Return the command line of one of the commands that open a trace."""
    one, good = str(path), str(templates / "t.zarr")
    figure = rng.choice(_FIGURES)
    return rng.choice((
        ["render", one, "-o", "x.html"], ["render", one, "-o", "x.html", "--redact-tokens"],
        ["info", one], ["info", one, "--json"],
        ["export", one, "--figure", figure, "-o", "x.csv"],
        ["export", one, "--figure", figure, "-o", "x.svg"],
        ["export", one, "--by", rng.choice(("word", "message", "token")), "-o", "x.csv"],
        ["compare", one, good, "-o", "x.html"], ["compare", good, one, "-o", "x.zarr"],
    ))  # fmt: skip


def _packed(trace: Path) -> Path:
    path = trace.with_name("t.zarr.zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in files_of(trace):
            archive.write(file, file.relative_to(trace).as_posix())
    return path


def _replace_one(rng: random.Random, content: Any) -> str:
    """Replace one value somewhere in JSON; return its name."""
    holder, name = content, ""
    while True:
        key = rng.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        name = f"{name} {key}"
        if isinstance(holder[key], dict | list) and holder[key] and rng.random() < 0.8:
            holder = holder[key]
            continue
        holder[key] = rng.choice((*ODD, *HOSTILE, 1e308, -1e308, [1.0, 1e200, 1e299]))
        return name


def _spoil(rng: random.Random, file: Path) -> None:
    """Change the text of a JSON file in a way that Python's reader takes, or chokes on."""
    if not file.is_file():
        return
    text = file.read_bytes()
    bad = rng.choice((
        b"[" * 5000, b'{"a":' * 2000, b"NaN", b"1e999", b"9" * 5000, b"-Infinity",
        b'"\\ud83d"', b"\xff",
        b'{"a": 1, "a": 2}', b"\xef\xbb\xbf", b"", b"\0", b"null", b"9" * 30,
        b'"' + b"A" * 3_000_000 + b'"', b"[" + b"0," * 500_000 + b"0]",
        b"{" + b",".join(b'"%d":0' % i for i in range(200_000)) + b"}",
    ))  # fmt: skip
    ends = [i for i in range(len(text)) if text[i : i + 1] in b",}]"]
    at = rng.choice(ends) if ends else 0
    start = max(text.rfind(sign, 0, at) for sign in (b":", b",", b"[", b"{")) + 1
    file.write_bytes(rng.choice((bad, text[:start] + bad + text[at:])))

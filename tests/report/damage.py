"""What accidents and strangers do to a stored trace: changes of its files, by kind."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

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


def files_of(folder: Path) -> list[Path]:
    """Return all files of a store, in order."""
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _flip(rng: random.Random, folder: Path) -> None:
    file = rng.choice(files_of(folder))
    data = bytearray(file.read_bytes())
    for _ in range(rng.choice((1, 1, 8, 64)) if data else 0):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def _cut(rng: random.Random, folder: Path) -> None:
    file = rng.choice(files_of(folder))
    data = file.read_bytes()
    file.write_bytes(data[: rng.randrange(len(data) + 1)])


def _lose(rng: random.Random, folder: Path) -> None:
    rng.choice(files_of(folder)).unlink()


def _swap_files(rng: random.Random, folder: Path) -> None:
    one, other = rng.sample(files_of(folder), 2)
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


def copies(rng: random.Random, folder: Path) -> None:
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
COPIES: dict[str, tuple[Change, ...]] = {"copies of metadata": (copies,)}

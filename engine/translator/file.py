"""Files of translators, NAME.lens.safetensors: written whole, and read with suspicion.

Tensors are `{layer}.weight` [d, d] and `{layer}.bias` [d]; docs/lens.md has the format. Nothing is
unpickled, and sizes are checked before a tensor is read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from attentropy.engine.errors import UsageError
from attentropy.engine.output.place import reserve
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.translator.translator import KINDS, AffineMap, Translator

FORMAT = "attentropy-lens"
FORMAT_VERSION = 1

TranslatorLike: TypeAlias = str | Path | Translator
"""A translator's file, or a translator that is read already."""

_MAX_HEADER = 4 * 2**20  # bytes: the names of a few hundred tensors, and the metadata
_MOST_LAYERS = 4096
_MOST_WIDTH = 2**17
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAME = re.compile(r"(0|[1-9][0-9]{0,3})\.(weight|bias)")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def write_translator(
    path: str | Path,
    maps: Mapping[int, AffineMap | tuple[Tensor, Tensor | None]],
    *,
    kind: str,
    layers: int,
    facts: Mapping[str, str] | None = None,
    force: bool = False,
) -> Translator:
    """Write the maps of a model with so many `layers` as one file, and return the translator.

    Args:
        path: The file, NAME.lens.safetensors.
        maps: (weight [d, d], bias [d] or None) of each layer that has a map, by layer number from
            0; the last layer has none.
        kind: "translator" (W h / rms(h) + b is the head's input), "residual" (h + W h + b, then
            norm and head, as in a tuned lens) or "jacobian" (W h, then norm and head).
        layers: Number of layers of the model.
        facts: Further metadata, such as {"head_sha256": …}.
        force: Overwrite an existing file.

    Raises:
        UsageError: Maps that a reader would refuse, or a file that exists.
    """
    path = Path(path)
    width = next((len(weight) for weight, _ in maps.values()), 0)
    metadata = {
        **(facts or {}), "format": FORMAT, "format_version": str(FORMAT_VERSION), "kind": kind,
        "layers": str(layers), "width": str(width),
    }  # fmt: skip
    tensors = {}
    for layer, (weight, bias) in maps.items():
        tensors[f"{layer}.weight"] = weight.detach().cpu().contiguous()
        if bias is not None:
            tensors[f"{layer}.bias"] = bias.detach().cpu().contiguous()
    with reserve(path, force=force) as place:
        new = place.scratch / "lens"
        new.write_bytes(save(tensors, metadata))
        translator = _read(new, path.name)  # as a reader would, before it gets its name
        place.put(new)
    return translator


def read_with(source: TranslatorLike | None, sites: Sequence[str]) -> Translator | None:
    """Return the translator of the argument `lens_translator`, None for none.

    sites: what the lens reads. Raises `UsageError` as `read_translator` does, and where the
    residuals are not among them.
    """
    if source is None:
        return None
    if "residual" not in sites:
        raise UsageError(
            '`lens_translator` needs a lens that reads the residuals: `lens="residual"`'
        )
    return read_translator(source)


def read_translator(source: TranslatorLike) -> Translator:
    """Return the translator of a file; one that is read already is returned as it is.

    Raises `UsageError` for a file that is not a translator's in this format.
    """
    if isinstance(source, Translator):
        return source
    if not isinstance(source, (str, Path)):
        raise UsageError(
            "`lens_translator` must be a file that attentropy.fit_lens wrote, or what it returned, "
            f"not {type(source).__name__}"
        )
    path = Path(source)
    if not path.is_file():
        raise UsageError(f"`lens_translator`: there is no file {path.name!r}")
    return _read(path, path.name)


def _read(path: Path, name: str) -> Translator:
    try:
        _check_header_size(path, name)
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
            facts = _checked_facts(file.metadata() or {}, name)
            layers, width = int(facts["layers"]), int(facts["width"])
            shapes = {key: _checked_tensor(file, key, layers, width, name) for key in keys}
            maps = _maps(file, shapes, facts["kind"], name)
        with open(path, "rb") as data:
            digest = hashlib.file_digest(data, "sha256").hexdigest()
    except (OSError, SafetensorError, ValueError) as error:
        raise _refused(name, "it is not a complete safetensors file") from error
    return Translator(name, facts["kind"], layers, width, maps, facts, digest)


def _check_header_size(path: Path, name: str) -> None:
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
    if size > _MAX_HEADER:
        raise _refused(name, "its header is too large")


def _checked_facts(facts: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the metadata with checked format, kind, sizes and hashes."""
    if facts.get("format") != FORMAT:
        raise _refused(name, f"its metadata does not say that its format is {FORMAT}")
    if facts.get("format_version") != str(FORMAT_VERSION):
        raise _refused(
            name, f"its format is not version {FORMAT_VERSION}, which this version reads"
        )
    if facts.get("kind") not in KINDS:
        raise _refused(name, f"its kind is not one of {', '.join(KINDS)}")
    for key, most in (("layers", _MOST_LAYERS), ("width", _MOST_WIDTH)):
        text = facts.get(key, "")
        if not (text.isascii() and text.isdecimal() and len(text) < 9 and 1 <= int(text) <= most):
            raise _refused(name, f"its metadata has no valid number of {key}")
    for key in (key for key in facts if key.endswith("sha256")):
        if not _SHA256.fullmatch(facts[key]):
            raise _refused(name, f"its {key} is not a hash")
    if facts["kind"] == "translator" and "head_sha256" not in facts:
        raise _refused(name, "it does not say for which output head it is")
    return dict(facts)


def _checked_tensor(file: Any, key: str, layers: int, width: int, name: str) -> list[int]:
    """Return the shape of a tensor that may be there, which is not read yet."""
    match = _NAME.fullmatch(key)
    if match is None:
        raise _refused(name, f"it has a tensor {key[:40]!r}")
    if int(match[1]) >= layers - 1:
        raise _refused(name, f"it has a map of layer {match[1]}, the last of {layers} needs none")
    part = file.get_slice(key)
    shape = list(part.get_shape())
    if shape != ([width, width] if match[2] == "weight" else [width]):
        raise _refused(name, f"its tensor {key} has shape {shape}, but its width is {width}")
    if part.get_dtype() not in _DTYPES:
        raise _refused(name, f"its tensor {key} is of type {part.get_dtype()}")
    return shape


def _maps(file: Any, keys: Mapping[str, Any], kind: str, name: str) -> dict[int, AffineMap]:
    """Return the maps with finite values; a jacobian has no bias, a translator needs one."""
    layers = sorted({int(key.partition(".")[0]) for key in keys})
    if not layers:
        raise _refused(name, "it has no maps")
    maps = {}
    for layer in layers:
        weight, bias = f"{layer}.weight", f"{layer}.bias"
        if weight not in keys or (kind == "translator" and bias not in keys):
            missing = bias if weight in keys else weight
            raise _refused(name, f"it has no tensor {missing}")
        if kind == "jacobian" and bias in keys:
            raise _refused(name, f"a jacobian has no bias, but it has a tensor {bias}")
        own = AffineMap(file.get_tensor(weight), file.get_tensor(bias) if bias in keys else None)
        for key, values in ((weight, own.weight), (bias, own.bias)):
            if values is not None and not bool(values.isfinite().all()):
                raise _refused(name, f"its tensor {key} has values that are not finite")
        maps[layer] = own
    return maps


def _refused(name: str, why: str) -> UsageError:
    return UsageError(f"`lens_translator`: {name!r} cannot be read: {why}")


def read_table(translator: Translator) -> list[dict[str, float]]:
    """Return the held-out measurements of each layer, as `fit_lens` wrote them; [] for none."""
    try:
        table = parse_json(translator.facts.get("table", "[]"))
    except ValueError:
        return []
    return table if isinstance(table, list) else []

"""A stranger's GGUF file (llama.cpp, Ollama): its header is checked before anything reads it."""

from __future__ import annotations

import contextlib
import math
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from attentropy.engine.errors import AttentropyError, UsageError, install_command
from attentropy.engine.model.files import StoredSizes

_ENDING = ".gguf"
_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_HEADER = 64 * 2**20  # bytes; a vocabulary of 262,144 tokens takes 15 MiB
_MAX_KEYS = 10_000
_MAX_TENSORS = 100_000
_MAX_NAME = 65_535
_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # by type of value
_SCALARS = {2: "<H", 4: "<I", 5: "<i", 10: "<Q", 11: "<q", 6: "<f", 12: "<d"}
_STRING, _ARRAY = 8, 9
_FLOATS = ("F64", "F32", "F16", "BF16")
_TRANSFORMERS = (5, 18)  # older ones split a file's control tokens into characters


@dataclass(frozen=True)
class GgufHeader:
    """What a header says of its file: the sizes of its weights, and their most frequent type."""

    sizes: StoredSizes
    quantization: str

    @property
    def note(self) -> str:
        """What a reader of a trace has to know of the weights."""
        kind = self.quantization
        how = kind if kind in _FLOATS else f"{kind}, dequantized"
        return f"the weights are from a GGUF file ({how})"


def is_gguf(source: str | Path) -> bool:
    """Return whether a source is the path of a GGUF file.

    Its name says so or, as in Ollama's folder of files without endings, its first bytes.
    """
    path = Path(source)
    if not path.is_file():
        return False
    if path.name.endswith(_ENDING):
        return True
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def check_installed(name: str) -> None:
    """Raise `UsageError` where a library that reads GGUF files is not installed, or too old."""
    for library in ("gguf", "accelerate"):
        if find_spec(library) is None:
            raise UsageError(
                f"{name!r} is a GGUF file, which needs {library}; run: {install_command('gguf')}"
            )
    installed = version("transformers")
    if tuple(map(int, installed.split(".")[:2])) < _TRANSFORMERS:
        oldest = ".".join(map(str, _TRANSFORMERS))
        raise UsageError(
            f"{name!r} is a GGUF file, which needs transformers {oldest} or newer, not "
            f"{installed}; run: pip install 'transformers>={oldest}'"
        )


def unpack_zeros(kind: str, values: int) -> None:
    """Dequantize at least that many zeros of a type, as loading does: a measurement times it."""
    import numpy as np
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize

    number = GGMLQuantizationType[kind]
    block, block_bytes = GGML_QUANT_SIZES[number]
    packed = np.zeros((1, -(-values // block) * block_bytes), np.uint8)
    floats = {"F32": np.float32, "F16": np.float16}
    dequantize(packed.view(floats.get(kind, np.uint8)), number).copy()


def dequantized() -> dict[str, Any]:
    """Return the options of `from_pretrained` by which no kernel for packed weights is downloaded.

    Before transformers had such kernels, it dequantized anyway.
    """
    import transformers

    packed = getattr(transformers, "GgufConfig", None)
    return {} if packed is None else {"quantization_config": packed(dequantize=True)}


@contextlib.contextmanager
def linked(file: str | Path) -> Iterator[Path]:
    """Make a folder that has the file and nothing else, and yield its path there, ending in .gguf.

    transformers would also read what lies next to the file, of another model perhaps.
    """
    source = Path(os.path.realpath(Path(file).expanduser()))
    with tempfile.TemporaryDirectory(prefix="attentropy-gguf-") as folder:
        link = Path(folder) / (source.name.removesuffix(_ENDING) + _ENDING)
        try:
            link.symlink_to(source)
        except OSError:  # Windows allows it to few users
            os.link(source, link)
        yield link


def read_header(path: Path, name: str) -> GgufHeader:
    """Return what the header of a GGUF file says, as far as the file's size confirms it.

    Nothing in it makes this read more than 64 MiB or keep more than a few names. Raises
    `AttentropyError` for a header that is broken or does not fit its file.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            return _Header(file, size).read()
    except (_BrokenHeader, struct.error) as error:
        reason = str(error) if isinstance(error, _BrokenHeader) else "it ends in its header"
        raise AttentropyError(f"{name!r} is not a GGUF file that can be read ({reason})") from error


class _BrokenHeader(Exception):
    pass


class _Header:
    """A reader of one header, which is never read beyond `_MAX_HEADER` or the file's end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def read(self) -> GgufHeader:
        if self._take(len(_MAGIC)) != _MAGIC:
            raise _BrokenHeader("it does not begin as one")
        version = self._number("<I")
        if version not in _VERSIONS:
            raise _BrokenHeader(f"its version is {version}, not 2 or 3")
        tensors, keys = self._number("<Q"), self._number("<Q")
        if tensors > _MAX_TENSORS or keys > _MAX_KEYS:
            raise _BrokenHeader(f"its header counts {tensors:,} tensors and {keys:,} keys")
        alignment = 32
        for _ in range(keys):
            key = self._name()
            value = self._value(self._number("<I"))
            if key == "general.alignment":
                alignment = value if isinstance(value, int) else 0
            if key == "split.count" and isinstance(value, int) and value > 1:
                raise _BrokenHeader(
                    f"it is one of {value:,} parts; join them with llama.cpp's llama-gguf-split"
                )
            if key.endswith(".block_count") and isinstance(value, int) and value > tensors:
                raise _BrokenHeader(f"it counts {value:,} layers and {tensors:,} tensors")
        if not 1 <= alignment <= 2**20:
            raise _BrokenHeader("its alignment is impossible")
        return self._read_tensors(tensors, alignment)

    def _read_tensors(self, count: int, alignment: int) -> GgufHeader:
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        elements, kinds, ends = 0, dict[str, int](), [0]
        for _ in range(count):
            name = self._name()
            dims = self._number("<I")
            if dims > 4:
                raise _BrokenHeader(f"the tensor {name[:40]!r} has {dims} dimensions")
            shape = [self._number("<Q") for _ in range(dims)]
            number, offset = self._number("<I"), self._number("<Q")
            try:
                kind = GGMLQuantizationType(number)
                block, block_bytes = GGML_QUANT_SIZES[kind]
            except (ValueError, KeyError) as error:
                raise _BrokenHeader(f"the tensor {name[:40]!r} has the type {number}") from error
            values = math.prod(shape)
            if not 0 < values <= block * self._size or (shape and shape[0] % block):
                raise _BrokenHeader(f"the tensor {name[:40]!r} has a shape that does not fit")
            elements += values
            kinds[kind.name] = kinds.get(kind.name, 0) + values
            ends.append(offset + values // block * block_bytes)
        start = -(-self._file.tell() // alignment) * alignment
        if start + max(ends) > self._size:
            raise _BrokenHeader("its tensors reach beyond its end")
        most = max(kinds, key=lambda kind: kinds[kind], default="")
        return GgufHeader(StoredSizes(count, elements, self._size), most)

    def _take(self, count: int) -> bytes:
        self._advance(count, seek=False)
        return self._file.read(count)

    def _advance(self, count: int, *, seek: bool = True) -> None:
        """Pass over `count` bytes; raise where they are not there."""
        end = self._file.tell() + count
        if end > min(self._size, _MAX_HEADER):
            raise _BrokenHeader("its header reaches beyond its end")
        if seek:
            self._file.seek(end)

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _name(self) -> str:
        length = self._number("<Q")
        if length > _MAX_NAME:
            raise _BrokenHeader(f"a name has {length:,} bytes")
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise _BrokenHeader("a name is not valid text") from error

    def _value(self, kind: int) -> Any:
        """Pass over a value; return it where it is a number."""
        if kind == _STRING:
            return self._advance(self._number("<Q"))
        if kind == _ARRAY:
            return self._pass_array()
        if kind not in _BYTES:
            raise _BrokenHeader(f"a value has the type {kind}")
        if kind not in _SCALARS:
            return self._advance(_BYTES[kind])
        value = self._number(_SCALARS[kind])
        if isinstance(value, float) and not math.isfinite(value):
            raise _BrokenHeader("a value is not finite")
        return value

    def _pass_array(self) -> None:
        kind, length = self._number("<I"), self._number("<Q")
        if kind in _BYTES:
            self._advance(_BYTES[kind] * length)
        elif kind == _STRING:
            if 8 * length > _MAX_HEADER:
                raise _BrokenHeader(f"a list has {length:,} texts")
            for _ in range(length):
                self._advance(self._number("<Q"))
        else:
            raise _BrokenHeader("a list has lists, or values of an unknown type")

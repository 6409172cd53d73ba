"""A model's checkpoint, opened for transformers: a folder, a hub's files or a GGUF file."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model import gguf
from attentropy.engine.model import source as origin
from attentropy.engine.model.classes import empty_model
from attentropy.engine.model.config import read_config, transformers_tokenizer
from attentropy.engine.model.files import has_tokenizer, read_sizes
from attentropy.engine.model.sandbox import run_bounded

# What is raised for a configuration that no model with a head over words can be made from.
NO_MODEL = (
    ArithmeticError,
    AttentropyError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
_SECONDS = 20
_MEBIBYTES = 1024


@dataclass(frozen=True)
class Checkpoint:
    """Where transformers reads a model, with its checked configuration.

    place: a folder or a hub id. commit: that of a hub's files. header: that of the GGUF file
    `gguf_file` in the folder, None for safetensors.
    """

    place: str
    folder: Path
    config: Any
    commit: str | None = None
    gguf_file: str | None = None
    header: gguf.GgufHeader | None = None

    def dtype(self, dtype: str | None, device: torch.device) -> torch.dtype:
        """Return the dtype of that name; see `resolve_dtype` for None.

        A GGUF file that is not in float32 has no dtype of its own: on a GPU it gets bfloat16.
        """
        resolved = origin.resolve_dtype(dtype, self.config, device)
        is_packed = self.header is not None and self.header.quantization != "F32"
        return torch.bfloat16 if dtype is None and is_packed and device.type != "cpu" else resolved

    def tokenizer(self) -> Any:
        """Return the tokenizer, None where there is none."""
        if self.gguf_file is None and not has_tokenizer(self.folder):
            return None
        return transformers_tokenizer(self.place, self.gguf_file, revision=self.commit)

    def options(self) -> dict[str, Any]:
        """Return the options by which `from_pretrained` reads this, as data alone."""
        if self.gguf_file is None:
            return {"revision": self.commit, "use_safetensors": True, "trust_remote_code": False}
        return {"gguf_file": self.gguf_file, "trust_remote_code": False, **gguf.dequantized()}


@contextlib.contextmanager
def open_checkpoint(
    source: str, name: str, revision: str | None, *, weights: bool = True
) -> Iterator[Checkpoint]:
    """Open what `resolve_source` found; what fails while this is open is named in one line.

    weights: False where a configuration is enough.
    """
    if gguf.is_gguf(source):
        with _open_gguf(Path(source), name) as checkpoint:
            yield checkpoint
        return
    with origin.errors_in_one_line(name, source):
        folder, commit = origin.locate_files(source, name, revision, weights=weights)
        config = read_config(folder, name, read_sizes(folder, name) if weights else None)
        if not weights:
            _check_builds(config)
        yield Checkpoint(source, folder, config, commit)


def _check_builds(config: Any) -> None:
    """Raise `WorkFailed` where the model of a configuration is too large to be made empty.

    No weights confirm its sizes. What transformers raises for it is left to the caller's own try.
    """

    def build() -> None:
        with contextlib.suppress(*NO_MODEL):
            empty_model(config)

    run_bounded(build, seconds=_SECONDS, mebibytes=_MEBIBYTES)


@contextlib.contextmanager
def _open_gguf(path: Path, name: str) -> Iterator[Checkpoint]:
    header = gguf.read_header(path, name)
    # An error may name the folder that only this function knows.
    with (
        gguf.linked(path) as link,
        origin.errors_in_one_line(name, str(link.parent)),
        contextlib.redirect_stderr(io.StringIO()),  # its bar of progress has no switch
    ):
        folder, file = link.parent, link.name
        config = read_config(folder, name, header.sizes, file)
        yield Checkpoint(str(folder), folder, config, None, file, header)

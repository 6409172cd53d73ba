"""Where a language model is certain and where it is not, at any context length.

Each name below is imported when it is first used, so that reading a trace never imports torch.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from attentropy.engine.record.record import record
    from attentropy.engine.run.extract import extract
    from attentropy.engine.run.sources import sources
    from attentropy.engine.trace.dataset import Trace
    from attentropy.engine.translator.fit import fit_lens
    from attentropy.kernels.ops import attention, vocabulary
    from attentropy.kernels.sweep import (
        attention_at,
        attention_by_distance,
        attention_map,
        attention_received,
        attention_recent,
        attention_window,
    )
    from attentropy.report.compare.difference import compare
    from attentropy.report.compare.stored import open as open
    from attentropy.report.export.export import export

# Name -> the module that defines it.
_HOMES = {
    "Trace": "attentropy.engine.trace.dataset",
    "attention": "attentropy.kernels.ops",
    "attention_at": "attentropy.kernels.sweep",
    "attention_by_distance": "attentropy.kernels.sweep",
    "attention_map": "attentropy.kernels.sweep",
    "attention_received": "attentropy.kernels.sweep",
    "attention_recent": "attentropy.kernels.sweep",
    "attention_window": "attentropy.kernels.sweep",
    "export": "attentropy.report.export.export",
    "compare": "attentropy.report.compare.difference",
    "extract": "attentropy.engine.run.extract",
    "fit_lens": "attentropy.engine.translator.fit",
    "open": "attentropy.report.compare.stored",
    "record": "attentropy.engine.record.record",
    "sources": "attentropy.engine.run.sources",
    "vocabulary": "attentropy.kernels.ops",
}

# Libraries of the extra `extract`, without which a trace can be read and drawn.
_OF_EXTRACT = ("torch", "transformers", "tokenizers", "safetensors", "triton")

# `open` is not here: `from attentropy import *` must leave Python's own alone.
__all__ = [
    "Trace",
    "attention",
    "attention_at",
    "attention_by_distance",
    "attention_map",
    "attention_received",
    "attention_recent",
    "attention_window",
    "compare",
    "export",
    "extract",
    "fit_lens",
    "record",
    "sources",
    "vocabulary",
]

_HERE = Path(__file__).parent
# A checkout without symbolic links (usual on Windows) has text files in place of the rooms, which
# are in the root of the repository.
if not (_HERE / "engine").is_dir():
    __path__.append(str(_HERE.parents[1]))


def __getattr__(name: str) -> object:
    """Return one of the names above, imported now.

    Raises `AttributeError` for any other name, and `ImportError` (one line) for one that needs
    torch or transformers where they are not installed.
    """
    if name == "__version__":
        return _version()
    if name in _HOMES:
        try:
            return getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in _OF_EXTRACT:
                raise
            from attentropy.engine.errors import install_command

            raise ImportError(
                f"attentropy.{name} needs {missing}, which is not installed; run: "
                f"{install_command('extract')}",
                name=missing,
            ) from None
    raise AttributeError(f"module 'attentropy' has no attribute {name!r}")


def _version() -> str:
    """Return the installed version; its library is imported only for this."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("attentropy")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    """Return the public names, without importing them."""
    return [*__all__, "open", "__version__"]

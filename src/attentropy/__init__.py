"""Where a language model is certain and where it is not, at any context length.

The names below are loaded when they are first used, so that reading a trace
never imports torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attentropy.engine.extract import extract
    from attentropy.engine.recorder import record
    from attentropy.engine.trace import Trace
    from attentropy.kernels.ops import attention, attention_window, vocabulary

_HOMES = {
    "Trace": "attentropy.engine.trace",
    "attention": "attentropy.kernels.ops",
    "attention_window": "attentropy.kernels.ops",
    "extract": "attentropy.engine.extract",
    "record": "attentropy.engine.recorder",
    "vocabulary": "attentropy.kernels.ops",
}

__all__ = [
    "Trace",
    "attention",
    "attention_window",
    "extract",
    "record",
    "vocabulary",
]

try:
    __version__ = version("attentropy")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attentropy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

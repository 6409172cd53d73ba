"""All options of one extraction, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentropy.engine.arguments import read_bytes, read_count, read_torch_name
from attentropy.engine.cost.options import CostOptions

# Called with a stage, the steps done, and the steps in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options(CostOptions):
    """The options of `extract`, which has their meaning: all but model, prompt and progress.

    As `CostOptions` does, it holds each in one form. Raises `UsageError` for one that cannot work,
    whatever the model and the prompt.
    """

    chat_template: bool = True
    system: str | None = None
    question: str | None = None
    tools: Any = None
    template_args: Any = None
    revision: str | None = None
    dtype: Any = None
    device: Any = None
    quantize: str | None = None
    max_new_tokens: int = 8
    top_k: int = 5
    memory: Any = None
    output: str | Path | None = None
    scratch: str | Path | None = None
    force: bool = False
    resume: bool = False
    keep_cache: bool = False

    def _read(self) -> dict[str, Any]:
        memory = None if self.memory is None else read_bytes(self.memory, "memory")
        return super()._read() | {
            "dtype": read_torch_name(self.dtype),
            "device": read_torch_name(self.device),
            "max_new_tokens": read_count(self.max_new_tokens, "max_new_tokens", least=0),
            "top_k": read_count(self.top_k, "top_k"),
            "memory": memory,
        }

    @property
    def placement(self) -> dict[str, str | None]:
        """The options by which a model is loaded."""
        return {
            "revision": self.revision,
            "dtype": self.dtype,
            "device": self.device,
            "quantize": self.quantize,
        }

"""All options of one extraction, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attentropy.engine.cost.options import CostOptions
from attentropy.engine.errors import UsageError

# Called with a stage, the steps done, and the steps in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options(CostOptions):
    """The options of `extract`, which has their meaning: all but model, prompt and progress.

    Raises `UsageError` for one that cannot work, whatever the model and the prompt.
    """

    chat_template: bool = True
    system: str | None = None
    revision: str | None = None
    dtype: str | None = None
    device: str | None = None
    quantize: str | None = None
    max_new_tokens: int = 8
    top_k: int = 5
    memory: int | None = None
    output: str | Path | None = None
    scratch: str | Path | None = None
    force: bool = False
    resume: bool = False
    keep_cache: bool = False

    def _check_numbers(self) -> None:
        if self.max_new_tokens < 0 or self.top_k < 1:
            raise UsageError("max_new_tokens must be 0 or more, top_k 1 or more")
        super()._check_numbers()
        if self.memory is not None and self.memory < 1:
            raise UsageError("chunk and memory must be 1 or more")

    @property
    def placement(self) -> dict[str, str | None]:
        """The options by which a model is loaded."""
        return {
            "revision": self.revision,
            "dtype": self.dtype,
            "device": self.device,
            "quantize": self.quantize,
        }

"""All options of one extraction, checked before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attentropy.engine.arguments import read_bytes, read_count, read_number, read_torch_name, refuse
from attentropy.engine.cost.options import CostOptions
from attentropy.engine.run.decode import Sampling
from attentropy.engine.run.source_request import SourceRequest, read_request

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
    temperature: Any = None
    top_p: Any = 1.0
    seed: int = 0
    top_k: int = 5
    memory: Any = None
    target: Any = None
    versus: Any = None
    how: Any = "hide"
    budget: Any = None
    output: str | Path | None = None
    scratch: str | Path | None = None
    force: bool = False
    resume: bool = False
    keep_cache: bool = False
    sources: SourceRequest = field(init=False, default=SourceRequest())

    def _read(self) -> dict[str, Any]:
        memory = None if self.memory is None else read_bytes(self.memory, "memory")
        return super()._read() | {
            "dtype": read_torch_name(self.dtype),
            "device": read_torch_name(self.device),
            "temperature": (
                None
                if self.temperature is None
                else read_number(self.temperature, "temperature", "a number of at least 0", 0)
            ),
            "top_p": read_number(
                self.top_p, "top_p", "a number above 0 and at most 1", 0, 1, is_open=True
            ),
            "seed": _read_seed(self.seed),
            "top_k": read_count(self.top_k, "top_k"),
            "memory": memory,
            "sources": read_request(
                self.test_sources, self.target, self.versus, self.how, self.budget
            ),
        }

    @property
    def sampling(self) -> Sampling:
        """How the answer's tokens are chosen; a temperature of 0 is greedy."""
        return Sampling(self.temperature or None, self.top_p, self.seed)

    @property
    def placement(self) -> dict[str, str | None]:
        """The options by which a model is loaded."""
        return {
            "revision": self.revision,
            "dtype": self.dtype,
            "device": self.device,
            "quantize": self.quantize,
        }


def _read_seed(value: Any) -> int:
    seed = read_count(value, "seed", least=0)
    if seed >= 2**63:
        raise refuse("seed", "an integer from 0 to 2⁶³ − 1", value)
    return seed

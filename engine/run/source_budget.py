"""How much of a run the tests of sources may take where nobody asked for them.

Both are predicted from sizes alone, for a machine with fixed rates: what is tested then depends on
the model, the prompt and the answer, and never on how busy this machine is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from attentropy.engine.cost.options import CostOptions
from attentropy.engine.cost.predict import run_size
from attentropy.engine.cost.sources import reading_speed
from attentropy.engine.cost.speed import Rates, duration
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.run.prefill import size_of
from attentropy.engine.sources.cost import Speed

SHARE = 0.4  # of the run, from the start of the command to its page
_COMMAND = 7.0  # seconds: importing the libraries, reading the trace, writing the page
_CPU = Rates(product=8e10, copied=1e10, scores=3e7, lens=5.5e10, swept=1e8)
_GPU = Rates(product=1e14, copied=2e12, scores=1e11, lens=5e13, swept=1e11)


@dataclass(frozen=True)
class Allowance:
    """What the tests may take: `seconds` at the speed `nominal`."""

    nominal: Speed
    seconds: float


def allowance(plan: RunPlan, options: CostOptions, answer: int, steps: int) -> Allowance | None:
    """Return what the tests of a text of `steps` tokens may take; None if it is not known.

    options: those of the run, which wrote an answer of `answer` tokens.
    """
    model, device = plan.loaded.model, plan.ids.device
    size, nominal = size_of(model), nominal_speed(model, plan.tokens, steps, device)
    if size is None or nominal is None:
        return None
    run = run_size(size, plan.tokens, options, device, model.dtype)
    run = replace(run, answer=answer, answer_positions=min(answer, run.answer_positions))
    seconds = _COMMAND + duration(size, run, _rates(device))["all"]
    return Allowance(nominal, SHARE * seconds)


def nominal_speed(
    model: Any, tokens: int, steps: int, device: torch.device, *, sweeps: int = 1
) -> Speed | None:
    """Return the speed of readings on a machine with fixed rates; None if it is not known.

    sweeps: as `reading_speed` takes them.
    """
    size = size_of(model)
    if size is None:
        return None
    rates = _rates(device)
    return reading_speed(size, tokens, steps, model.dtype.itemsize, rates, sweeps=sweeps)


def _rates(device: torch.device) -> Rates:
    return _CPU if device.type == "cpu" else _GPU

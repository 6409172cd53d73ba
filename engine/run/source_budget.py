"""How much of a run the tests of sources may take where nobody asked for them.

Both are predicted from sizes alone, for a machine with fixed rates: what is tested then depends on
the model, the prompt and the answer, and never on how busy this machine is.
"""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.engine.cost.options import CostOptions
from attentropy.engine.cost.predict import run_size
from attentropy.engine.cost.size import ModelSize
from attentropy.engine.cost.speed import CALLS, Rates, duration
from attentropy.engine.run.plan import RunPlan
from attentropy.engine.run.prefill import size_of
from attentropy.engine.sources.cost import Speed

SHARE = 0.3  # of the run, loading included
_CPU = Rates(product=8e10, copied=1e10, scores=3e7, lens=5.5e10, swept=1e8)
_GPU = Rates(product=1e14, copied=2e12, scores=1e11, lens=5e13, swept=1e11)
_ROW = 1.5  # times the products of a row: its attention, its norms
_ROWS_OF_PASS = 32  # of the answer, in all variants that are read together


@dataclass(frozen=True)
class Allowance:
    """What the tests may take: `seconds` at the speed `nominal`."""

    nominal: Speed
    seconds: float


def allowance(plan: RunPlan, options: CostOptions, steps: int) -> Allowance | None:
    """Return what the tests of an answer of `steps` tokens may take; None if it is not known.

    options: those of the run.
    """
    size = size_of(plan.loaded.model)
    if size is None:
        return None
    device, dtype = plan.ids.device, plan.loaded.model.dtype
    rates = _CPU if device.type == "cpu" else _GPU
    run = duration(size, run_size(size, plan.tokens, options, device, dtype), rates)
    nominal = Speed(_seconds_of_row(size, rates), plan.tokens, steps)
    return Allowance(nominal, SHARE * run["all"])


def _seconds_of_row(size: ModelSize, rates: Rates) -> float:
    head = size.width * size.vocabulary
    return _ROW * 2.0 * (size.active + head) / rates.product + size.layers * CALLS / _ROWS_OF_PASS

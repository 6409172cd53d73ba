"""The finding about rehearsal: a token of the answer at a template token, against its placebo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report.findings.finding import Observation, layer_name, quoted
from attentropy.report.text import for_sentence
from attentropy.report.units import count, percent, percent_against

# A rehearsal counts as found where a token of the answer is among the top five and not negligible,
# and far more likely than after any placebo question.
REHEARSAL_RANK = 4
REHEARSAL_PROBABILITY = 0.05
REHEARSAL_LIFT = 10


@dataclass(frozen=True)
class StrongestRehearsal:
    """The cell at a template token where a token of the answer has the highest probability.

    It is one of a layer whose lens is readable. `entry` is that along `layer`; `rank` (from 0) and
    `is_found` are those of definitions.md;
    `placebo` is the largest probability that a placebo question gives the token in the same cell,
    None where none was read; `cells` is the number of cells that count as found, of `tested` ones.
    `why_untested` is None where the trace can tell whether any does; where it cannot tell which
    layers are readable, the cell may be one of any layer.
    """

    entry: int
    position: int
    token: str
    probability: float
    rank: int
    placebo: float | None
    is_found: bool
    cells: int
    tested: int
    why_untested: str | None

    @property
    def numbers(self) -> str:
        """The probability and the placebo's, as a caption has them."""
        return f"{percent(self.probability)}{self.control}"

    @property
    def control(self) -> str:
        """The placebo's probability, as words after another."""
        return "" if self.placebo is None else f"; placebo {percent(self.placebo)}"


@once_per_trace
def strongest_rehearsal(trace: Trace) -> StrongestRehearsal | None:
    """Return the strongest cell of the lens at the template tokens; None where none was measured.

    Cells that count as found precede those that do not. Layers whose lens is not readable are left
    out where the trace tells them from the others and some are readable.
    """
    dummies = trace.dummy_positions()
    if "rehearsal" not in trace or not dummies.size:
        return None
    span = slice(int(dummies[0]), int(dummies[-1]) + 1)
    columns = dummies - span.start
    values, ranks = (trace.lens(f"rehearsal{end}", span)[:, columns] for end in ("", "_rank"))
    measured = np.isfinite(values)
    if not measured.any():
        return None
    placebo = np.full(values.shape, np.nan)
    if "rehearsal_placebo" in trace:
        placebo = np.exp(trace.lens("rehearsal_placebo", span)[:, columns].astype(np.float64))
    skill = lens_skill(trace, trace.site)
    if skill is not None and (measured & skill.is_readable[:, None]).any():
        measured &= skill.is_readable[:, None]
    is_readable = np.zeros(len(values), bool) if skill is None else skill.is_readable
    probability = np.exp(np.where(measured, values, -np.inf))
    is_found = measured & (ranks <= REHEARSAL_RANK) & (probability >= REHEARSAL_PROBABILITY)
    is_found &= is_readable[:, None] & np.isfinite(placebo)
    is_found &= probability >= REHEARSAL_LIFT * np.where(np.isfinite(placebo), placebo, 0)
    order = probability + is_found
    entry, column = np.unravel_index(order.argmax(), values.shape)
    position = int(dummies[column])
    ids = trace.lens("rehearsal_ids", slice(position, position + 1))
    return StrongestRehearsal(
        int(entry),
        position,
        trace.text_of([ids[entry, 0]])[0],
        float(probability[entry, column]),
        int(ranks[entry, column]),
        float(placebo[entry, column]) if np.isfinite(placebo[entry, column]) else None,
        bool(is_found[entry, column]),
        int(is_found.sum()),
        int(measured.sum()),
        _why_untested(trace, placebo, None if skill is None else is_readable),
    )


def at_most(probability: float) -> str:
    """Return a probability as the largest of several, in percent."""
    text = percent_against(probability, REHEARSAL_PROBABILITY)
    return f"less than {text[2:]}" if text.startswith("<") else f"at most {text}"


def _why_untested(
    trace: Trace, placebo: np.ndarray, is_readable: np.ndarray | None
) -> str | None:  # fmt: skip
    """Return why no cell can count as found, None where one can."""
    if not np.isfinite(placebo).any():
        facts = trace.attrs.get("placebo")
        why = facts.get("why_not") if isinstance(facts, dict) else None
        return for_sentence(str(why), 120) if why else "the trace has no placebo questions"
    if is_readable is None:
        return "the trace does not show how far its lens can be read"
    return None if is_readable.any() else "the lens is readable in no layer"


def cell_words(trace: Trace, one: StrongestRehearsal) -> str:
    """Return the strongest cell in words, with both probabilities."""
    amount = percent(one.probability) if one.is_found else at_most(one.probability)
    placebo = "" if one.placebo is None else f", placebo {at_most(one.placebo)}"
    return (
        f"{amount} for {quoted(one.token)}, rank {one.rank + 1:,}{placebo}, at "
        f"{quoted(trace.tokens[one.position])}, {layer_name(trace, one.entry)}"
    )


def of_site(trace: Trace) -> str:
    """Return the words for the lens's site; none for the residual stream."""
    return "" if trace.site == "residual" else f" of the {trace.site} output alone"


def observe_rehearsal(trace: Trace) -> Observation:
    """Return whether the lens shows a token of the answer at a template token."""
    name, threshold = "rehearsal", REHEARSAL_PROBABILITY
    best = strongest_rehearsal(trace)
    is_read = np.zeros((0, 0), bool)
    if "lens_entropy" in trace:
        is_read = np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()])
        if "rehearsal" in trace:
            is_read |= np.isfinite(trace.lens("rehearsal")[:, trace.dummy_positions()])
    if best is None:
        text = f"Rehearsal was not measured: {_no_rehearsal(trace, is_read)}."
        return Observation(
            name, text, name, unit="probability", threshold=threshold, is_found=False
        )
    value = None if best.why_untested else best.probability
    where = (
        f"at the template token {quoted(trace.tokens[best.position])} (position {best.position:,})"
    )
    lens = f"the logit lens{of_site(trace)} at {layer_name(trace, best.entry)}"
    gives = f"gives {percent_against(best.probability, threshold)} to {quoted(best.token)}"
    later = f", a later token of the answer (rank {best.rank + 1:,}{_control(trace, best)})"
    if best.why_untested:
        text = (
            f"Rehearsal was not tested: {best.why_untested}. The strongest candidate is {where}: "
            f"{lens} {gives}{later}."
        )
    elif best.is_found:
        text = (
            f"Rehearsal found: {where} {lens} already {gives}{later}. {best.cells:,} of "
            f"{best.tested:,} layer × template-token cells "
            f"{'passes' if best.cells == 1 else 'pass'} the test."
        )
    else:
        tokens = count(int(is_read.any(0).sum()), "template token")
        text = f"No rehearsal found at {tokens}"
        if best.probability < REHEARSAL_PROBABILITY:
            text += (
                f": in the layers whose lens is readable, it gives {at_most(best.probability)} to "
                "a later token of the answer."
            )
        else:
            text += f". The strongest candidate is {where}: {lens} {gives}{later}."
    return Observation(
        name, text, name, value, "probability", threshold, best.tested, best.is_found,
        "lens", best.entry, best.position,
    )  # fmt: skip


def _control(trace: Trace, best: StrongestRehearsal) -> str:
    """Return what the placebo questions give the token, as words after the rank."""
    if best.placebo is None:
        return ""
    facts = trace.attrs.get("placebo")
    questions = facts.get("questions") if isinstance(facts, dict) else None
    number = f"{questions} " if isinstance(questions, int) else ""
    return f"; after {number}placebo questions {at_most(best.placebo)}"


def _no_rehearsal(trace: Trace, is_read: np.ndarray) -> str:
    """Return why rehearsal was not measured; `is_read` [layer, template token]: by the lens."""
    if trace.dummy_positions().size == 0:
        return "the prompt has no template token after its last word"
    if "rehearsal" not in trace:
        return "the trace has no logit lens"
    if not is_read.any():
        return "the lens did not read the template tokens"
    if trace.attrs.get("reasoning") and not trace.attrs.get("answer"):
        return "the answer ends within its reasoning, which is not looked for"
    return "the answer has no content word that is not in the prompt"

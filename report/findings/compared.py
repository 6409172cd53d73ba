"""Findings about the difference of two traces, with their values, thresholds and positions.

Where no value reaches its threshold, the finding says so.
"""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.common import number_texts
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.finding import Observation, head_label, layer_name, quoted
from attentropy.report.findings.rehearsal import (
    REHEARSAL_PROBABILITY,
    cell_words,
    strongest_rehearsal,
)
from attentropy.report.findings.settled import settling
from attentropy.report.findings.side_means import by_head, by_layer
from attentropy.report.findings.translators import observe_translators
from attentropy.report.read.answer_words import read_answer, words_of
from attentropy.report.text import for_sentence
from attentropy.report.units import count, number_against, percent, signed

CHANGED = 0.1  # nats: one tenth more or fewer effective tokens or keys, exp(0.1) = 1.105
MOVED = 0.5  # layers


def observe(difference: Difference) -> list[Observation]:
    """Return what differs between A and B, and what was looked for and is the same."""
    findings: list[Observation | None] = [
        observe_answers(difference),
        observe_predictions(difference),
        _rehearsals(difference),
    ]
    if "lens" in difference.sides:
        findings += [_by_layer(difference), _settled(difference)]
    if "attention" in difference.sides:
        findings.append(_heads(difference))
    findings.append(observe_translators(difference))
    return [observation for observation in findings if observation is not None]


def column_words(difference: Difference, column: int) -> str:
    """Return a column of both sides in words: its position in A, and in B where that differs."""
    a, b = int(difference.at_a[column]), int(difference.at_b[column])
    return f"position {a:,}" if a == b else f"position {a:,} in A, {b:,} in B"


def _all(n: int) -> str:
    """Return n positions as all that there are."""
    return f"all {count(n, 'position')}" if n > 1 else "the one position compared"


def observe_answers(difference: Difference) -> Observation:
    """Return how many generated tokens the answers have in common."""
    read = [read_answer(trace) for trace in difference.traces]
    reasons = ["" if one is None else one.reasoning for one in read]
    texts = ["" if one is None else one.text for one in read]
    steps = [_generated(trace) for trace in difference.traces]
    longest = max(map(len, steps))
    if not longest:
        text = "The answers were not compared: neither trace has one."
        return Observation("answer", text, "generated tokens in common", unit="", is_found=False)
    shared = next(
        (i for i, (x, y) in enumerate(zip(*steps, strict=False)) if x != y), min(map(len, steps))
    )
    ends = ["…" if one is not None and one.is_cut else "" for one in read]
    answers = [
        f"“{for_sentence(text.strip() + end, 60)}”" if text or not reason
        else "reasoning that is cut"
        for text, reason, end in zip(texts, reasons, ends, strict=True)
    ]  # fmt: skip
    noun = words_of(read)
    if shared == longest:
        text = f"The {noun} is the same in A and B: {answers[0]}."
    elif not any(texts) and all(reasons):
        text = "Both answers are cut within their reasoning, which differs."
    elif texts[0] == texts[1] and reasons[0] != reasons[1]:
        text = f"The {noun} is the same in A and B, {answers[0]}, but its reasoning differs."
    else:
        text = f"The {noun}s differ: {answers[0]} in A, {answers[1]} in B."
    last = np.flatnonzero(difference.compared)[-1]
    return Observation(
        "answer", text, "generated tokens in common, from the first", float(shared), "tokens",
        float(longest), longest, shared < longest, _first_view(difference), None, int(last),
    )  # fmt: skip


def _generated(trace: Trace) -> list[str]:
    """Return the texts of the generated tokens."""
    return [str(text) for text in trace["generated_text"]] if "generated_text" in trace else []


def _first_view(difference: Difference) -> str:
    """Return the view that opens."""
    return next(iter(difference.sides))


def observe_predictions(difference: Difference) -> Observation | None:
    """Return at how many positions the predicted next token differs."""
    if not all("target_ids" in trace for trace in difference.traces):
        return None
    numbers: dict[str, int] = {}
    targets = np.stack([
        difference.spread(number_texts(trace, trace["target_ids"], numbers), side)
        for side, trace in enumerate(difference.traces)
    ])  # fmt: skip
    is_read = (targets >= 0).all(0) & difference.compared
    n = int(is_read.sum())
    if not n:
        return None
    changed = np.flatnonzero(is_read & (targets[0] != targets[1]))
    share = changed.size / n
    if not changed.size:
        text = f"The predicted next token is the same at {_all(n)}."
        return Observation(
            "predictions", text, "share of predictions that differ", share, "", 0.0, n, False,
            _first_view(difference),
        )  # fmt: skip
    words = list(numbers)
    at = int(changed[-1])
    predicted = [quoted(words[number]) for number in targets[:, at]]
    text = (
        f"The predicted next token differs at {changed.size:,} of {count(n, 'position')} "
        f"({percent(share)}); last at {quoted(difference.tokens[at])} "
        f"({column_words(difference, at)}): {predicted[0]} in A, {predicted[1]} in B."
    )
    return Observation(
        "predictions", text, "share of predictions that differ", share, "", 0.0, n, True,
        _first_view(difference), None, at,
    )  # fmt: skip


def _rehearsals(difference: Difference) -> Observation | None:
    """Return whether the answer is rehearsed at a template token, on each side."""
    a, b = (strongest_rehearsal(trace) for trace in difference.traces)
    if a is None or b is None:
        return None
    best = (a, b)
    if any(one.why_untested for one in best):
        reasons = [
            f"in {name} it was not tested ({one.why_untested})"
            for name, one in zip("AB", best, strict=True)
            if one.why_untested
        ]
        text = f"Rehearsal was not compared: {', '.join(reasons)}."
        return Observation(
            "rehearsal", text, "rehearsal, B − A", unit="probability", is_found=False,
            view=_first_view(difference),
        )  # fmt: skip
    clauses = []
    for side, (name, one) in enumerate(zip("AB", best, strict=True)):
        trace = difference.traces[side]
        clauses.append(f"in {name} ({cell_words(trace, one)})")
    states = ["found" if one.is_found else "not found" for one in best]
    words = f"{states[0]} {clauses[0]}, {states[1]} {clauses[1]}"
    if a.is_found == b.is_found:
        words = f"{states[0]} {clauses[0]} {'and' if a.is_found else 'or'} {clauses[1]}"
    change = b.probability - a.probability
    differs = a.is_found != b.is_found or (
        a.is_found and b.is_found and abs(change) >= REHEARSAL_PROBABILITY
    )  # fmt: skip
    verb = "differs" if differs else "does not differ"
    stronger = 1 if change >= 0 else 0
    column = int(
        np.flatnonzero((difference.at_a, difference.at_b)[stronger] == best[stronger].position)[0]
    )
    return Observation(
        "rehearsal", f"Rehearsal {verb}: {words}.", "rehearsal, B − A", change,
        "probability", REHEARSAL_PROBABILITY, min(map(_dummies_read, difference.traces)), differs,
        _first_view(difference), best[stronger].entry, column,
    )  # fmt: skip


def _dummies_read(trace: Trace) -> int:
    """Return the number of cells at template tokens that the lens read."""
    return int(np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()]).sum())


def _by_layer(difference: Difference) -> Observation | None:
    """Return the layer whose mean lens entropy changed most."""
    means = by_layer(difference, "lens")
    if not means.n.any():
        return None
    entry = int(np.nanargmax(np.abs(means.change)))
    change, n = float(means.change[entry]), int(means.n[entry])
    example = (
        f"{layer_name(difference, entry)} ({means.a[entry]:.2f} nats in A, {means.b[entry]:.2f} "
        f"in B, B − A = {signed(change, limit=CHANGED)})"
    )
    over = f"over {count(n, 'position')}"
    overall = np.nansum(means.change * means.n) / means.n.sum()
    is_found = abs(change) >= CHANGED
    if is_found:
        text = (
            f"Mean lens entropy {over} changes most in {example}; the "
            f"mean over all layers changes by {signed(overall)} nats."
        )
    elif signed(change) == "0.00":
        text = f"Mean lens entropy {over} is the same in every layer."
    else:
        text = (
            f"Mean lens entropy {over} changes by less than {CHANGED} nats in every layer; most in "
            f"{example}."
        )
    return Observation(
        "lens_change", text, "lens_entropy, B − A", change, "nats", CHANGED, n, is_found, "lens",
        entry,
    )  # fmt: skip


def _settled(difference: Difference) -> Observation | None:
    """Return whether the lens settles on the predicted token at an earlier or a later layer."""
    if difference.site != "residual" or not all(
        "lens_rank" in trace for trace in difference.traces
    ):
        return None
    settled = np.stack(
        [difference.spread(settling(trace), side) for side, trace in enumerate(difference.traces)]
    )
    is_counted = np.isfinite(settled).all(0) & difference.compared
    n = int(is_counted.sum())
    if not n:
        return None
    moved = np.where(is_counted, settled[1] - settled[0], 0)
    mean = float(moved.sum() / n)
    earlier, later = int((moved < 0).sum()), int((moved > 0).sum())
    is_found = abs(mean) >= MOVED
    column = int(np.abs(moved).argmax())
    text = f"The lens reaches the final prediction at the same layer at {_all(n)}"
    if earlier + later:
        text = "The lens reaches the final prediction at about the same layer in A and B"
        if is_found:
            way = "earlier" if mean < 0 else "later"
            layers = number_against(abs(mean), MOVED, digits=1)
            text = f"The lens reaches the final prediction {layers} layers {way} in B"
        by = "" if is_found else f"B − A = {signed(mean, 1, MOVED)} layers "
        places = [layer_name(difference, int(side[column])) for side in settled]
        text += (
            f" ({by}on average; in B earlier at {earlier:,}, later at {later:,}, at the same layer "
            f"at {n - earlier - later:,} of {count(n, 'position')}). The largest change is at "
            f"{quoted(difference.tokens[column])} ({column_words(difference, column)}): "
            f"{places[0]} in A, {places[1]} in B"
        )
    return Observation(
        "settled", f"{text}.", "layer where the prediction becomes top-1, B − A", mean, "layers",
        MOVED, n, is_found, "lens", None, column,
    )  # fmt: skip


def _heads(difference: Difference) -> Observation | None:
    """Return the head whose mean entropy changed most."""
    nats, shares = by_head(difference)
    if not nats.n.any():
        return None
    entry, head = np.unravel_index(np.nanargmax(np.abs(nats.change)), nats.change.shape)
    change, n = float(nats.change[entry, head]), int(nats.n[entry, head])
    number = int(difference["head"][head])
    example = (
        f"{head_label(difference, entry, number)} ({nats.a[entry, head]:.2f} nats in A, "
        f"{nats.b[entry, head]:.2f} in B, B − A = {signed(change, limit=CHANGED)}"
    )
    if (
        not difference.same_length
        and shares is not None
        and np.isfinite(shares.change[entry, head])
    ):
        example += f"; normalized entropy {signed(shares.change[entry, head])}"
    sizes = np.abs(nats.change[nats.n > 0])
    passing = int((sizes >= CHANGED).sum())
    is_found = passing > 0
    many = count(sizes.size, "head" if number >= 0 else "layer")
    amount = (
        f"{CHANGED} nats or more in {passing:,} of"
        if is_found
        else f"less than {CHANGED} nats in all"
    )
    text = f"Mean attention entropy changes by {amount} {many}; most in {example})."
    if signed(change) == "0.00":
        text = f"Mean attention entropy is the same in all {many}."
    return Observation(
        "heads", text, "entropy, B − A", change, "nats", CHANGED, n, is_found,
        "attention", int(entry), None, number if number >= 0 else None,
    )  # fmt: skip

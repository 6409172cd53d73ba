"""Findings about the difference of two traces, with their values, thresholds and positions.

A value that does not reach its threshold is reported as "no difference".
"""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.common import number_texts
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.finding import Observation, layer_name, quoted
from attentropy.report.findings.side_means import by_head, by_layer
from attentropy.report.findings.single import REHEARSAL_PROBABILITY, strongest_rehearsal

CHANGED = 0.1  # nats: one tenth more or fewer effective tokens or keys, exp(0.1) = 1.105
MOVED = 0.5  # layers


def observe(difference: Difference) -> list[Observation]:
    """Return what differs between A and B, and what was looked for and is the same."""
    findings: list[Observation | None] = [
        _answers(difference),
        _predictions(difference),
        _rehearsals(difference),
    ]
    if "lens" in difference.sides:
        findings += [_by_layer(difference), _settled(difference)]
    if "attention" in difference.sides:
        findings.append(_heads(difference))
    return [observation for observation in findings if observation is not None]


def column_words(difference: Difference, column: int) -> str:
    """Return a column of both sides in words: its position in A, and in B where that differs."""
    a, b = int(difference.at_a[column]), int(difference.at_b[column])
    return f"position {a:,}" if a == b else f"position {a:,} in A, {b:,} in B"


def _signed(value: float, form: str = ".2f") -> str:
    """Return a value with its sign, and a real minus."""
    return f"{value:+{form}}".replace("-", "−")


def _answers(difference: Difference) -> Observation:
    """Return how many generated tokens the answers have in common."""
    texts = [trace.attrs.get("answer") for trace in difference.traces]
    steps = [_generated(trace) for trace in difference.traces]
    longest = max(map(len, steps))
    if not longest:
        text = "The answers were not compared: neither trace holds a continuation."
        return Observation("answer", text, "generated tokens in common", unit="", is_found=False)
    shared = next(
        (i for i, (x, y) in enumerate(zip(*steps, strict=False)) if x != y), min(map(len, steps))
    )
    answers = [quoted(str(text or ""), 60) for text in texts]
    if shared == longest:
        text = f"No difference in the answer: both say {answers[0]}."
    else:
        text = f"The answers differ: A says {answers[0]}, B says {answers[1]}."
    last = np.flatnonzero(difference.both)[-1]
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


def _predictions(difference: Difference) -> Observation | None:
    """Return at how many positions the predicted next token differs."""
    if not all("target_ids" in trace for trace in difference.traces):
        return None
    numbers: dict[str, int] = {}
    targets = np.stack([
        difference.spread(number_texts(trace, trace["target_ids"], numbers), side)
        for side, trace in enumerate(difference.traces)
    ])  # fmt: skip
    is_read = (targets >= 0).all(0) & difference.both
    n = int(is_read.sum())
    if not n:
        return None
    changed = np.flatnonzero(is_read & (targets[0] != targets[1]))
    share = changed.size / n
    if not changed.size:
        text = f"No difference in what the model predicts next, at any of {n:,} positions."
        return Observation(
            "predictions", text, "share of predictions that differ", share, "", 0.0, n, False,
            _first_view(difference),
        )  # fmt: skip
    words = list(numbers)
    at = int(changed[-1])
    predicted = [quoted(words[number]) for number in targets[:, at]]
    text = (
        f"The predicted next token differs at {changed.size:,} of {n:,} positions ({share:.0%}); "
        f"last at {quoted(difference.tokens[at])} ({column_words(difference, at)}): "
        f"{predicted[0]} in A, {predicted[1]} in B."
    )
    return Observation(
        "predictions", text, "share of predictions that differ", share, "", 0.0, n, True,
        _first_view(difference), None, at,
    )  # fmt: skip


def _rehearsals(difference: Difference) -> Observation | None:
    """Return whether the answer is rehearsed at a dummy token, on each side."""
    a, b = (strongest_rehearsal(trace) for trace in difference.traces)
    if a is None or b is None:
        return None
    best = (a, b)
    clauses = []
    for side, (name, one) in enumerate(zip("AB", best, strict=True)):
        trace = difference.traces[side]
        token = f"{quoted(trace.tokens[one.position])}, {layer_name(trace, one.entry)}"
        state = "found" if one.is_found else "not found"
        clauses.append(
            f"in {name} {state} (at most {one.probability:.2g} for {quoted(one.token)}, rank "
            f"{one.rank}, at {token})"
        )
    change = b.probability - a.probability
    differs = a.is_found != b.is_found or (
        a.is_found and b.is_found and abs(change) >= REHEARSAL_PROBABILITY
    )  # fmt: skip
    begin = "Rehearsal at dummy tokens differs" if differs else "No difference in rehearsal"
    stronger = 1 if change >= 0 else 0
    column = int(
        np.flatnonzero((difference.at_a, difference.at_b)[stronger] == best[stronger].position)[0]
    )
    return Observation(
        "rehearsal", f"{begin}: {clauses[0]}, {clauses[1]}.", "rehearsal, B − A", change,
        "probability", REHEARSAL_PROBABILITY, min(map(_dummies_read, difference.traces)), differs,
        _first_view(difference), best[stronger].entry, column,
    )  # fmt: skip


def _dummies_read(trace: Trace) -> int:
    """Return the number of cells at dummy tokens that the lens read."""
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
        f"in B, B − A = {_signed(change)})"
    )
    overall = np.nansum(means.change * means.n) / means.n.sum()
    is_found = abs(change) >= CHANGED
    if is_found:
        text = (
            f"Lens entropy, mean over {n:,} positions, changes most in {example}; over all layers "
            f"by {_signed(overall)} nats."
        )
    else:
        text = f"No layer's mean lens entropy differs by {CHANGED} nats; most: {example}."
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
    is_counted = np.isfinite(settled).all(0) & difference.both
    n = int(is_counted.sum())
    if not n:
        return None
    moved = np.where(is_counted, settled[1] - settled[0], 0)
    mean = float(moved.sum() / n)
    earlier, later = int((moved < 0).sum()), int((moved > 0).sum())
    counts = f"earlier in B at {earlier:,}, later at {later:,}, alike at {n - earlier - later:,}"
    is_found = abs(mean) >= MOVED
    column = int(np.abs(moved).argmax())
    if is_found:
        way = "earlier" if mean < 0 else "later"
        text = f"The lens settles on the predicted token {abs(mean):.1f} layers {way} in B"
    else:
        by = _signed(mean, ".1f")
        text = f"No difference in where the lens settles on the predicted token: {by} layers"
    text += f" on average ({counts} of {n:,} positions)"
    if earlier + later:
        layers = [layer_name(difference, int(side[column])) for side in settled]
        text += (
            f"; most at {quoted(difference.tokens[column])} ({column_words(difference, column)}): "
        )
        text += f"{layers[0]} in A, {layers[1]} in B"
    return Observation(
        "settled", f"{text}.", "layer of lens_rank = 0 from there on, B − A", mean, "layers",
        MOVED, n, is_found, "lens", None, column,
    )  # fmt: skip


def settling(trace: Trace) -> np.ndarray:
    """Return the entry along `layer` from which on the lens reads the predicted token, [positions].

    NaN stands where the lens did not read, or does not end with that token.
    """
    is_read = np.isfinite(trace.lens("lens_entropy"))
    rows = np.flatnonzero(is_read.any(1))
    if not rows.size:
        return np.full(is_read.shape[1], np.nan)
    is_first = (trace.lens("lens_rank")[rows] == 0) & is_read[rows]
    run = np.cumprod(is_first[::-1], axis=0).sum(0)
    return np.where(run > 0, rows[rows.size - np.maximum(run, 1)], np.nan)


def _heads(difference: Difference) -> Observation | None:
    """Return the head whose mean entropy changed most."""
    nats, shares = by_head(difference)
    if not nats.n.any():
        return None
    entry, head = np.unravel_index(np.nanargmax(np.abs(nats.change)), nats.change.shape)
    change, n = float(nats.change[entry, head]), int(nats.n[entry, head])
    number = int(difference["head"][head])
    name = f"head {number}" if number >= 0 else "the mean over heads"
    example = (
        f"{layer_name(difference, entry)} {name} ({nats.a[entry, head]:.2f} nats in A, "
        f"{nats.b[entry, head]:.2f} in B, B − A = {_signed(change)}"
    )
    if (
        not difference.same_length
        and shares is not None
        and np.isfinite(shares.change[entry, head])
    ):
        example += f"; as a share of ln(visible) {_signed(shares.change[entry, head], '.1%')}"
    sizes = np.abs(nats.change[nats.n > 0])
    passing = int((sizes >= CHANGED).sum())
    is_found = passing > 0
    begin = (
        f"The mean attention entropy of {passing:,} of {sizes.size:,} heads changes by {CHANGED} "
        "nats or more; most"
        if is_found
        else f"No head's mean attention entropy differs by {CHANGED} nats, of {sizes.size:,}; most"
    )
    return Observation(
        "heads", f"{begin}: {example}).", "entropy, B − A", change, "nats", CHANGED, n, is_found,
        "attention", int(entry), None, number if number >= 0 else None,
    )  # fmt: skip

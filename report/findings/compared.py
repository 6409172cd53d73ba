"""Findings about the difference of two traces, with their values, thresholds and positions.

A value that does not reach its threshold is reported as "no difference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference, numbered
from attentropy.report.findings.finding import Observation, layer_name, quoted
from attentropy.report.findings.single import REHEARSAL_PROBABILITY, strongest_rehearsal

CHANGED = 0.1  # nats: one tenth more or fewer effective tokens or keys, exp(0.1) = 1.105
MOVED = 0.5  # layers


@dataclass(frozen=True)
class Means:
    """Means over the positions with a value on both sides: of A, of B, and over how many."""

    a: np.ndarray
    b: np.ndarray
    n: np.ndarray

    @property
    def change(self) -> np.ndarray:
        """The difference B − A; NaN where nothing was measured on both sides."""
        change: np.ndarray = self.b - self.a
        return change


def observe(of: Difference) -> list[Observation]:
    """Return what differs between A and B, and what was looked for and is the same."""
    findings: list[Observation | None] = [_answers(of), _predictions(of), _rehearsals(of)]
    if "lens" in of.sides:
        findings += [_by_layer(of), _settled(of)]
    if "attention" in of.sides:
        findings.append(_heads(of))
    return [observation for observation in findings if observation is not None]


def by_layer(of: Difference, view: str) -> Means:
    """Return the mean entropy of each layer [layer], for a view of `of.sides`."""
    return _means(of.sides[view], of.both)


def _means(sides: np.ndarray, both: np.ndarray) -> Means:
    """Return the means of both sides' values [2, ..., columns]."""
    is_counted = np.isfinite(sides).all(0) & both
    n = is_counted.sum(-1)
    sums = np.where(is_counted, sides, 0).sum(-1, dtype=np.float64)
    a, b = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
    return Means(a, b, n)


def by_head(of: Difference) -> tuple[Means, Means | None]:
    """Return the mean attention entropy of each head [layer, head].

    The first means are in nats, the second a share of ln(visible); these are None where a side does
    not hold `visible`. One layer is read at a time.
    """
    entropy = [of.of_side("entropy", side) for side in (0, 1)] if of.heads_match else []
    counted = all("visible" in trace for trace in of.traces)
    visible = [of.of_side("visible", side) for side in (0, 1)] if counted else []
    nats, shares = [], []
    for entry in range(of.dataset.sizes["layer"]):
        means = of.sides["attention"][:, entry, None]
        sides = np.stack([one[entry].values for one in entropy]) if entropy else means
        nats.append(_means(sides, of.both))
        if visible:
            keys = np.stack([one[entry].values for one in visible])[:, None]
            shares.append(_means(sides / np.log(np.where(keys >= 2, keys, np.nan)), of.both))
    return _stacked(nats), _stacked(shares) if shares else None


def _stacked(rows: list[Means]) -> Means:
    """Return the means of all layers as one."""
    return Means(*(np.stack([getattr(row, name) for row in rows]) for name in ("a", "b", "n")))


def column_words(of: Difference, column: int) -> str:
    """Return a column of both sides in words: its position in A, and in B where that differs."""
    a, b = int(of.at_a[column]), int(of.at_b[column])
    return f"position {a:,}" if a == b else f"position {a:,} in A, {b:,} in B"


def _signed(value: float, form: str = ".2f") -> str:
    """Return a value with its sign, and a real minus."""
    return f"{value:+{form}}".replace("-", "−")


def _answers(of: Difference) -> Observation:
    """Return how many generated tokens the answers have in common."""
    texts = [trace.attrs.get("answer") for trace in of.traces]
    steps = [_generated(trace) for trace in of.traces]
    longest = max(map(len, steps))
    if not longest:
        text = "The answers were not compared: neither trace holds a continuation."
        return Observation("answer", text, "generated tokens in common", unit="", found=False)
    shared = next(
        (i for i, (x, y) in enumerate(zip(*steps, strict=False)) if x != y), min(map(len, steps))
    )
    answers = [quoted(str(text or ""), 60) for text in texts]
    if shared == longest:
        text = f"No difference in the answer: both say {answers[0]}."
    else:
        text = f"The answers differ: A says {answers[0]}, B says {answers[1]}."
    last = np.flatnonzero(of.both)[-1]
    return Observation(
        "answer", text, "generated tokens in common, from the first", float(shared), "tokens",
        float(longest), longest, shared < longest, _first_view(of), None, int(last),
    )  # fmt: skip


def _generated(trace: Trace) -> list[str]:
    """Return the texts of the generated tokens."""
    return [str(text) for text in trace["generated_text"]] if "generated_text" in trace else []


def _first_view(of: Difference) -> str:
    """Return the view that opens."""
    return next(iter(of.sides))


def _predictions(of: Difference) -> Observation | None:
    """Return at how many positions the predicted next token differs."""
    if not all("target_ids" in trace for trace in of.traces):
        return None
    numbers: dict[str, int] = {}
    targets = np.stack([
        of.spread(numbered(trace, trace["target_ids"], numbers), side)
        for side, trace in enumerate(of.traces)
    ])  # fmt: skip
    is_read = (targets >= 0).all(0) & of.both
    n = int(is_read.sum())
    if not n:
        return None
    changed = np.flatnonzero(is_read & (targets[0] != targets[1]))
    share = changed.size / n
    if not changed.size:
        text = f"No difference in what the model predicts next, at any of {n:,} positions."
        return Observation(
            "predictions", text, "share of predictions that differ", share, "", 0.0, n, False,
            _first_view(of),
        )  # fmt: skip
    words = list(numbers)
    at = int(changed[-1])
    predicted = [quoted(words[number]) for number in targets[:, at]]
    text = (
        f"The predicted next token differs at {changed.size:,} of {n:,} positions ({share:.0%}); "
        f"last at {quoted(of.tokens[at])} ({column_words(of, at)}): {predicted[0]} in A, "
        f"{predicted[1]} in B."
    )
    return Observation(
        "predictions", text, "share of predictions that differ", share, "", 0.0, n, True,
        _first_view(of), None, at,
    )  # fmt: skip


def _rehearsals(of: Difference) -> Observation | None:
    """Return whether the answer is rehearsed at a dummy token, on each side."""
    a, b = (strongest_rehearsal(trace) for trace in of.traces)
    if a is None or b is None:
        return None
    best = (a, b)
    clauses = []
    for side, (name, one) in enumerate(zip("AB", best, strict=True)):
        trace = of.traces[side]
        token = f"{quoted(trace.tokens[one.position])}, {layer_name(trace, one.entry)}"
        state = "found" if one.found else "not found"
        clauses.append(
            f"in {name} {state} (at most {one.probability:.2g} for {quoted(one.token)}, rank "
            f"{one.rank}, at {token})"
        )
    change = b.probability - a.probability
    differs = a.found != b.found or (
        a.found and b.found and abs(change) >= REHEARSAL_PROBABILITY
    )  # fmt: skip
    begin = "Rehearsal at dummy tokens differs" if differs else "No difference in rehearsal"
    stronger = 1 if change >= 0 else 0
    column = int(np.flatnonzero((of.at_a, of.at_b)[stronger] == best[stronger].position)[0])
    return Observation(
        "rehearsal", f"{begin}: {clauses[0]}, {clauses[1]}.", "rehearsal, B − A", change,
        "probability", REHEARSAL_PROBABILITY, min(map(_dummies_read, of.traces)), differs,
        _first_view(of), best[stronger].entry, column,
    )  # fmt: skip


def _dummies_read(trace: Trace) -> int:
    """Return the number of cells at dummy tokens that the lens read."""
    return int(np.isfinite(trace.lens("lens_entropy")[:, trace.dummy_positions()]).sum())


def _by_layer(of: Difference) -> Observation | None:
    """Return the layer whose mean lens entropy changed most."""
    means = by_layer(of, "lens")
    if not means.n.any():
        return None
    entry = int(np.nanargmax(np.abs(means.change)))
    change, n = float(means.change[entry]), int(means.n[entry])
    example = (
        f"{layer_name(of, entry)} ({means.a[entry]:.2f} nats in A, {means.b[entry]:.2f} in B, "
        f"B − A = {_signed(change)})"
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


def _settled(of: Difference) -> Observation | None:
    """Return whether the lens settles on the predicted token at an earlier or a later layer."""
    if of.site != "residual" or not all("lens_rank" in trace for trace in of.traces):
        return None
    settled = np.stack([of.spread(settling(trace), side) for side, trace in enumerate(of.traces)])
    is_counted = np.isfinite(settled).all(0) & of.both
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
        layers = [layer_name(of, int(side[column])) for side in settled]
        text += f"; most at {quoted(of.tokens[column])} ({column_words(of, column)}): "
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


def _heads(of: Difference) -> Observation | None:
    """Return the head whose mean entropy changed most."""
    nats, shares = by_head(of)
    if not nats.n.any():
        return None
    entry, head = np.unravel_index(np.nanargmax(np.abs(nats.change)), nats.change.shape)
    change, n = float(nats.change[entry, head]), int(nats.n[entry, head])
    number = int(of["head"][head])
    name = f"head {number}" if number >= 0 else "the mean over heads"
    example = (
        f"{layer_name(of, entry)} {name} ({nats.a[entry, head]:.2f} nats in A, "
        f"{nats.b[entry, head]:.2f} in B, B − A = {_signed(change)}"
    )
    if not of.same_length and shares is not None and np.isfinite(shares.change[entry, head]):
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

"""The judge's checks of what a report says of attention, and of the model's heads."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from real.attention import Attention
from real.evidence import Evidence
from real.verdict import HEAD, NUMBER, Check, Finding, Mistakes, Verdict, bare, layers_in

_GROUP = re.compile(
    r"“([^”]*)” \((?:position ([\d,]+)|([\d,]+) positions, first ([\d,]+))\) in (layers? [^“]*?) "
    rf"with {NUMBER}(?: to {NUMBER})?"
)
_INDUCTION = 0.2  # by how much a score may depend on the random tokens


def _attention(finding: Finding, evidence: Evidence) -> Attention:
    """Return attention as the sentence means it, with or without the sink keys of each layer."""
    if "sink keys left out" not in finding["text"]:
        return evidence.attention
    return evidence.attention_without_sinks()


def _focus(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"{HEAD}, normalized entropy {NUMBER}\. .*{HEAD}, {NUMBER}", finding["text"])
    if not match:
        return None
    means, mistakes = _attention(finding, evidence).heads["normalized"], Mistakes()
    low, high = (int(match[1]), int(match[2])), (int(match[4]), int(match[5]))
    mistakes.number("most focused", match[3], means[low])
    mistakes.number("most diffuse", match[6].rstrip("."), means[high])
    mistakes.claim(means[low] <= np.nanmin(means) + 1e-3, f"lowest: {_lowest(means)}")
    mistakes.claim(means[high] >= np.nanmax(means) - 1e-3, f"highest: {_lowest(-means)}")
    if above := re.search(rf"; ([\d,]+) of ([\d,]+) heads? above {NUMBER} ", finding["text"]):
        own = int((np.nan_to_num(means) > float(above[3])).sum())
        near = int((np.abs(means - float(above[3])) < 1e-4).sum())
        mistakes.claim(abs(int(above[1]) - own) <= near, f"{own} heads are above {above[3]}")
    return mistakes.verdict(finding)


def _lowest(values: np.ndarray) -> str:
    layer, head = np.unravel_index(np.nanargmin(values), values.shape)
    return f"L{layer}H{head}"


def _range(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"entropy.* is {NUMBER} \(", finding["text"])
    layers = re.findall(rf"in layer (\d+) \({NUMBER}\)", finding["text"])
    if not match:
        return None
    attention, mistakes = _attention(finding, evidence), Mistakes()
    means, rows = attention.heads["normalized"], attention.rows[:, None]
    weights = rows * np.isfinite(means)
    mistakes.number("mean", match[1], float((np.nan_to_num(means) * weights).sum() / weights.sum()))
    by_layer = np.nanmean(means, 1)
    for layer, value in layers:
        mistakes.number(f"layer {layer}", value, float(by_layer[int(layer)]))
    if len(layers) == 2:
        low, high = (by_layer[int(layer)] for layer, _ in layers)
        mistakes.claim(
            low <= np.nanmin(by_layer) + 0.006, f"lowest: layer {np.nanargmin(by_layer)}"
        )
        mistakes.claim(
            high >= np.nanmax(by_layer) - 0.006, f"highest: layer {np.nanargmax(by_layer)}"
        )
    return mistakes.verdict(finding)


def _sinks(finding: Finding, evidence: Evidence) -> Verdict | None:
    text, own, mistakes = finding["text"], evidence.sinks(), Mistakes()
    if "not measured" in text:
        mistakes.claim(evidence.case.prompt < 8, "the prompt is long enough")
        return mistakes.verdict(finding)
    mistakes.numbers.append(f"own sinks: {list(own)}")
    groups, total = _GROUP.findall(text), 0
    if others := re.search(r"([\d,]+) other tokens?", text):
        total += int(others[1].replace(",", ""))
    for token, single, many, first, layers, low, high in groups:
        position = int((single or first).replace(",", ""))
        count = int(many.replace(",", "")) if many else 1
        total += count
        if position not in own:
            mistakes.claim(False, f"position {position} is no sink")
            continue
        _check_group(mistakes, evidence, (position, count), layers_in(layers), (low, high or low))
        written = evidence.model.tokenizer.decode([evidence.case.ids[position]])
        mistakes.claim(bare(token).strip("␣⏎") == bare(written.strip()), f"{position}: {written!r}")
    mistakes.claim(total == len(own), f"there are {len(own)} sink keys: {list(own)[:8]}")
    return mistakes.verdict(finding)


def _check_group(
    mistakes: Mistakes,
    evidence: Evidence,
    keys: tuple[int, int],
    layers: list[int],
    bounds: tuple[str, str],
) -> None:
    """Check the layers and shares of the sinks with one text: the first of them, and how many."""
    (position, count), ids = keys, evidence.case.ids
    same = [key for key in evidence.sinks() if ids[key] == ids[position]]
    is_sink, received = evidence.is_sink()[:, same], evidence.attention.received[:, same]
    own = np.flatnonzero(is_sink.any(1)).tolist()
    mistakes.claim(count == len(same), f"{len(same)} sinks have the text of {position}")
    mistakes.claim(layers == own, f"{position} is a sink in layers {own}")
    mistakes.number(f"least at {position}", bounds[0], float(received[is_sink].min()), 0.01)
    mistakes.number(f"most at {position}", bounds[1], float(received[is_sink].max()), 0.01)


def judge_heads(fact: dict[str, Any], evidence: Evidence) -> Verdict:
    """Return the verdict on one line of the box "heads of this model"."""
    values, mistakes = _head_values(fact["id"], evidence), Mistakes()
    if values is None:
        return Verdict(fact, None, "no rule for this line")
    tolerance = _INDUCTION if fact["id"] == "induction" else 2e-3
    for label, written in fact["heads"]:
        at = tuple(map(int, re.match(HEAD, label).groups()))  # type: ignore[union-attr]
        is_close = abs(values[at] - written) <= tolerance
        mistakes.claim(is_close, f"{label} has {values[at]:.3f}, not {written}")
    count = int((np.nan_to_num(values) > fact["limit"] + tolerance).sum())
    most = int((np.nan_to_num(values) > fact["limit"] - tolerance).sum())
    mistakes.claim(
        count <= len(fact["heads"]) <= most,
        f"{count} to {most} heads are above {fact['limit']:.2g}",
    )
    return mistakes.verdict(fact)


def _head_values(name: str, evidence: Evidence) -> np.ndarray | None:
    if name in ("previous", "local"):
        return evidence.attention.heads[name]
    if name == "induction":
        return evidence.induction()
    return evidence.idle() if name == "idle" else None


CHECKS: dict[str, Check] = {
    "heads": _focus,
    "range": _range,
    "sinks": _sinks,
}

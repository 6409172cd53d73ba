"""The judge's checks of what a report says of the lens."""

from __future__ import annotations

import re

import numpy as np

from real.evidence import Evidence
from real.rules import decisive, read_rehearsal, settling_layer, settling_layers
from real.verdict import NUMBER, QUOTE, Check, Finding, Mistakes, Verdict, bare, layers_in

_RANK = re.compile(r"rank ([\d,]+)")
_GIVES = re.compile(r"gives ([^“]*%) to")


def _rehearsal(finding: Finding, evidence: Evidence) -> Verdict | None:
    text, mistakes = finding["text"], Mistakes()
    is_tested, read = "not tested" not in text, evidence.case.placebos
    if "not measured" not in text:
        mistakes.claim(is_tested == (read > 0), f"{read} placebo questions were read")
    own = read_rehearsal(evidence)
    if finding["layer"] is None:
        mistakes.claim(not own.candidates, f"tokens to look for: {own.candidates[:5]}")
        return mistakes.verdict(finding)
    if share := re.search(r"it gives ([^“]*%) to a later token", text):
        sought = [cell.probability for cell in own.others if cell.is_sought]
        mistakes.share("probability", share[1], max(sought, default=0.0))
        mistakes.claim(not own.cells, f"{own.cells[:1]}")
        return mistakes.verdict(finding)
    token = bare(QUOTE.findall(text)[1])
    cell = own.at(finding["layer"], finding["position"], token)
    if cell is None:
        mistakes.claim(False, f"“{token}” is no token of the answer")
        return mistakes.verdict(finding)
    if share := _GIVES.search(text):
        mistakes.share("probability", share[1], cell.probability)
    if rank := _RANK.search(text):
        written = int(rank[1].replace(",", ""))
        mistakes.claim(abs(written - cell.rank - 1) <= 1 + 0.01 * written, f"rank {cell.rank + 1}")
    mistakes.numbers.append(f"placebos give {cell.placebo:.3g}")
    if finding["found"]:
        mistakes.all += cell.objections
        count = re.search(rf"{NUMBER} of {NUMBER} layer", text)
        mistakes.numbers.append(f"{len(own.grid)} cells pass, not {count[1] if count else '?'}")
    elif is_tested:
        mistakes.claim(not own.cells, f"{own.cells[:1]}")
    return mistakes.verdict(finding)


def _settled(finding: Finding, evidence: Evidence) -> Verdict | None:
    text, mistakes = finding["text"], Mistakes()
    step, token = decisive(evidence)
    position = evidence.case.prompt + step - 1
    decode = evidence.model.tokenizer.decode
    if finding["position"] != position:
        mistakes.claim(False, f"the decisive token is {decode([token])!r}, after {position}")
        return mistakes.verdict(finding)
    first = settling_layer(evidence, position, token)
    readable = np.flatnonzero(evidence.skill()[0] >= 0.5)
    later = [] if first is None else readable[readable >= first].tolist()
    last = len(evidence.states) - 1
    mistakes.numbers.append(f"top from layer {first} on, readable from {later[:1]}")
    if match := re.search(r"from layer (\d+) onward", text):
        start = first if "none of these layers" in text else next(iter(later), None)
        mistakes.claim(int(match[1]) == start, f"{decode([token])!r} is top from layer {start} on")
    elif "only in the last layer" in text:
        mistakes.claim(later == [last], f"it is in layers {later}")
    elif "every layer read" in text:
        mistakes.claim(later[:1] == [0], f"it is in layers {later}")
    elif finding["found"]:
        return None
    mistakes.claim(finding["found"] == (later[:1] not in ([], [last])), f"in layers {later}")
    _check_probabilities(text, mistakes, evidence, position)
    _check_tops(text, mistakes, evidence, position)
    if median := re.search(rf"median settling layer is {NUMBER} \(", text):
        own = float(np.median(settling_layers(evidence)))
        mistakes.number("median layer", median[1], own)
    elif "At least half of the model's own" in text:
        mistakes.claim(float(np.median(settling_layers(evidence))) == last, "fewer than half do")
    return mistakes.verdict(finding)


def _check_probabilities(text: str, mistakes: Mistakes, evidence: Evidence, position: int) -> None:
    """Check the probabilities of top tokens, each with the layer that stands next to it."""
    patterns = (
        rf"layer (\d+)[^(“]*\(probability {NUMBER} there",
        rf"\(layer (\d+)\)? ?[^“]*?,? \(?probability {NUMBER}\)",
    )
    pairs = [pair for pattern in patterns for pair in re.findall(pattern, text)]
    pairs += [(layer, p) for p, layer in re.findall(rf"{NUMBER} in layer (\d+)[,)]", text)]
    for layer, written in pairs:
        best = float(evidence.at(position)[int(layer)].max().exp())
        mistakes.number(f"probability in layer {layer}", written, best)


def _check_tops(text: str, mistakes: Mistakes, evidence: Evidence, position: int) -> None:
    """Check the top tokens of the layers before: “city” in layers 25–26."""
    decode = evidence.model.tokenizer.decode
    for token, layers in re.findall(r"“([^”]*)” in (layers? \d[\d–, ]*(?:and [\d–]+)?)", text):
        for layer in layers_in(layers):
            own = decode([int(evidence.at(position)[layer].argmax())])
            is_same = bare(token).strip("␣⏎") == bare(own.strip()) or "\ufffd" in own
            mistakes.claim(is_same or not own.strip(), f"layer {layer} has {own!r}")


def _lens_layers(finding: Finding, evidence: Evidence) -> Verdict | None:
    cells = re.findall(rf"in layer (\d+) \({NUMBER} nats\)", finding["text"])
    mistakes, means = Mistakes(), evidence.lens()[0].mean(1)
    if only := re.search(rf"is readable is {NUMBER} nats in layer (\d+),", finding["text"]):
        cells = [(only[2], only[1])]
        readable = np.flatnonzero(evidence.skill()[0] >= 0.5).tolist()
        mistakes.claim(readable == [int(only[2])], f"readable: {readable}")
    for layer, value in cells:
        mistakes.number(f"layer {layer}", value, means[int(layer)])
    if len(cells) == 2:
        among = means
        if "whose lens is readable" in finding["text"]:
            among = means[evidence.skill()[0] >= 0.5]
        low, high = (means[int(layer)] for layer, _ in cells)
        mistakes.claim(low <= among.min() + 0.006, f"lowest: {among.min():.3f}")
        mistakes.claim(high >= among.max() - 0.006, f"highest: {among.max():.3f}")
    return mistakes.verdict(finding) if cells else None


CHECKS: dict[str, Check] = {
    "rehearsal": _rehearsal,
    "settled": _settled,
    "lens_layers": _lens_layers,
}

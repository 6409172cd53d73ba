"""Judge the findings of a report by the model itself: each sentence is true, false or not judged.

    python tests/real/judge.py FINDINGS.json TRACE.zarr.zip MODEL

FINDINGS.json is what `attentropy report --json --save-trace TRACE` prints. Of the trace only the
tokens are read, with their roles; everything else is measured again (see `evidence`), by the rules
of docs/definitions.md. Nothing of the project is imported.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from real.evidence import Case, Evidence, Model
from real.rules import decisive, read_rehearsal, settling_layer

Finding = dict[str, Any]
_NUMBER = r"([\d,]*\.?\d+)"
_QUOTE = re.compile(r"“([^”]*)”")
_HEAD = r"L(\d+)H(\d+)"


@dataclass(frozen=True)
class Verdict:
    """What the judge says of a finding; `why` has its own numbers."""

    finding: Finding
    is_true: bool | None
    why: str

    def __str__(self) -> str:
        word = {True: "true", False: "FALSE", None: "not judged"}[self.is_true]
        return f"{word:10} {self.finding['id']:15} {self.why}\n{'':10} {self.finding['text']}"


class Mistakes:
    """What a sentence says that is not so; without any it is true."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self.numbers: list[str] = []

    def number(self, name: str, written: str, own: float, scale: float = 1.0) -> None:
        """Check a written number against `own`, within its last digit."""
        text = written.replace(",", "")
        unit = 10.0 ** -len(text.partition(".")[2]) * scale
        value = float(text) * scale
        self.numbers.append(f"{name} {own:.4g}")
        if not abs(value - own) <= 0.51 * unit + 2e-3 * abs(own):
            self.all.append(f"{name} is {own:.4g}, not {value:.4g}")

    def claim(self, is_so: bool, otherwise: str) -> None:
        """Check a claim in words; `otherwise` is what is so instead."""
        if not is_so:
            self.all.append(otherwise)

    def verdict(self, finding: Finding) -> Verdict:
        """Return the verdict that follows."""
        return Verdict(finding, not self.all, "; ".join(self.all or self.numbers) or "as measured")


def judge(findings: Iterable[Finding], evidence: Evidence) -> list[Verdict]:
    """Return a verdict for each finding."""
    verdicts = []
    for finding in findings:
        check = CHECKS.get(finding["id"])
        verdict = check(finding, evidence) if check else None
        verdicts.append(verdict or Verdict(finding, None, "no rule for this sentence"))
    return verdicts


def _rehearsal(finding: Finding, evidence: Evidence) -> Verdict | None:
    own = read_rehearsal(evidence)
    mistakes = Mistakes()
    best = max(own.cells, key=lambda cell: cell.probability, default=None)
    if finding["found"]:
        layer, position = finding["layer"], finding["position"]
        token = _bare(_QUOTE.findall(finding["text"])[1])
        cell = own.at(layer, position, token)
        if cell is None:
            mistakes.claim(False, f"“{token}” is no token of the answer")
        else:
            share = re.search(_NUMBER + r" %", finding["text"])
            if share:
                mistakes.number("probability", share[1], cell.probability, 0.01)
            mistakes.all += cell.objections
        return mistakes.verdict(finding)
    if finding["value"] is None:
        mistakes.claim(not own.candidates, f"tokens to look for: {own.candidates[:5]}")
        return mistakes.verdict(finding)
    mistakes.claim(best is None, f"{best}")
    return mistakes.verdict(finding)


def _bare(text: str) -> str:
    """Return the text of a quoted token without the marks of blanks and of direction."""
    return text.strip("\u2068\u2069").removeprefix("_").strip("…")


def _settled(finding: Finding, evidence: Evidence) -> Verdict | None:
    mistakes = Mistakes()
    step = decisive(evidence)
    if step is None:
        return None
    position = evidence.case.prompt + step - 1
    token = evidence.case.generated[step]
    text = evidence.model.tokenizer.decode([token])
    if finding["position"] != position:
        mistakes.claim(False, f"the decisive token is {text!r}, after position {position}")
        return mistakes.verdict(finding)
    first = settling_layer(evidence, position, token)
    layers = [int(n) for n in re.findall(r"layer (\d+)", finding["text"])]
    if first is None:
        mistakes.claim(not finding["found"], f"{text!r} is not the last layer's top token")
    elif finding["found"]:
        mistakes.claim(first in layers, f"{text!r} is top from layer {first} on")
    return mistakes.verdict(finding)


def _lens_layers(finding: Finding, evidence: Evidence) -> Verdict | None:
    pattern = rf"in layer (\d+) \({_NUMBER} nats\)"
    cells = re.findall(pattern, finding["text"])
    mistakes, means = Mistakes(), evidence.lens()[0].mean(1)
    for layer, value in cells:
        mistakes.number(f"layer {layer}", value, means[int(layer)])
    if len(cells) == 2:
        low, high = (means[int(layer)] for layer, _ in cells)
        mistakes.claim(low <= means.min() + 0.006, f"lowest: layer {means.argmin()}")
        mistakes.claim(high >= means.max() - 0.006, f"highest: layer {means.argmax()}")
    return mistakes.verdict(finding) if cells else None


def _extreme_heads(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"{_HEAD}, [a-z ]*{_NUMBER}\. .*{_HEAD}, {_NUMBER}", finding["text"])
    if not match:
        return None
    means, mistakes = _attention(finding, evidence).heads["normalized"], Mistakes()
    low, high = (int(match[1]), int(match[2])), (int(match[4]), int(match[5]))
    mistakes.number("most focused", match[3], means[low])
    mistakes.number("most diffuse", match[6], means[high])
    mistakes.claim(means[low] <= np.nanmin(means) + 1e-4, f"lowest: {_lowest(means)}")
    mistakes.claim(means[high] >= np.nanmax(means) - 1e-4, f"highest: {_lowest(-means)}")
    return mistakes.verdict(finding)


def _attention(finding: Finding, evidence: Evidence) -> Any:
    """Return attention as the sentence means it, with or without the sink keys of each layer."""
    if not re.search(r"without (its |the )?sink", finding["text"]):
        return evidence.attention
    sinks = evidence.sinks()
    layers = range(len(evidence.states))
    return evidence.attention_without(
        [[key for key, own in sinks.items() if layer in own] for layer in layers]
    )


def _lowest(values: np.ndarray) -> str:
    layer, head = np.unravel_index(np.nanargmin(values), values.shape)
    return f"L{layer}H{head}"


def _range(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"entropy.* is {_NUMBER} \(", finding["text"])
    layers = re.findall(rf"in layer (\d+) \({_NUMBER}\)", finding["text"])
    if not match:
        return None
    means, mistakes = _attention(finding, evidence).heads["normalized"], Mistakes()
    mistakes.number("mean", match[1], float(np.nanmean(means)))
    for layer, value in layers:
        mistakes.number(f"layer {layer}", value, float(np.nanmean(means[int(layer)])))
    if len(layers) == 2:
        low, high = (np.nanmean(means[int(layer)]) for layer, _ in layers)
        mistakes.claim(low <= np.nanmean(means, 1).min() + 0.006, "not the lowest layer")
        mistakes.claim(high >= np.nanmean(means, 1).max() - 0.006, "not the highest layer")
    return mistakes.verdict(finding)


def _sink_mass(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"receive {_NUMBER} % of attention .*{_HEAD}, {_NUMBER} %", finding["text"])
    if not match:
        return None
    mass, mistakes = evidence.attention.heads["sink_mass"], Mistakes()
    at = int(match[2]), int(match[3])
    mistakes.number("sink mass", match[1], float(np.nanmean(mass)), 0.01)
    mistakes.number("its most", match[4], float(mass[at]), 0.01)
    return mistakes.verdict(finding)


def _counted(name: str, threshold: float) -> Callable[[Finding, Evidence], Verdict | None]:
    """Return the check of a sentence that counts heads above a threshold and names the highest."""

    def check(finding: Finding, evidence: Evidence) -> Verdict | None:
        match = re.match(r"(None|[\d,]+) of ([\d,]+) heads?", finding["text"])
        best = re.search(rf"Highest: {_HEAD}, {_NUMBER}( %)?", finding["text"])
        if not match or not best:
            return None
        values, mistakes = _attention(finding, evidence).heads[name], Mistakes()
        count = int((values > threshold).sum())
        written = 0 if match[1] == "None" else int(match[1].replace(",", ""))
        near = int((np.abs(values - threshold) < 1e-5).sum())
        mistakes.claim(abs(written - count) <= near, f"{count} heads are above {threshold}")
        scale = 0.01 if best[4] else 1.0
        mistakes.number("highest", best[3], float(values[int(best[1]), int(best[2])]), scale)
        return mistakes.verdict(finding)

    return check


def _previous(finding: Finding, evidence: Evidence) -> Verdict | None:
    match = re.search(rf"{_HEAD}, {_NUMBER} %", finding["text"])
    if not match:
        return None
    values, mistakes = evidence.attention.heads["previous"], Mistakes()
    at = int(match[1]), int(match[2])
    mistakes.number("weight on the token before", match[3], float(values[at]), 0.01)
    mistakes.claim(values[at] >= values.max() - 1e-4, f"highest: {_lowest(-values)}")
    return mistakes.verdict(finding)


CHECKS: dict[str, Callable[[Finding, Evidence], Verdict | None]] = {
    "rehearsal": _rehearsal,
    "settled": _settled,
    "lens_layers": _lens_layers,
    "heads": _extreme_heads,
    "range": _range,
    "sinks": _sink_mass,
    "head_sink": _counted("sink", 0.3),
    "head_local": _counted("local", 0.9),
    "head_diffuse": _counted("normalized", 0.9),
    "head_previous": _previous,
}


def main(findings: Path, trace: Path, folder: Path) -> int:
    """Print the verdicts and the facts behind them; return how many findings are false."""
    result = json.loads(findings.read_text("utf-8"))
    evidence = Evidence(Model(folder), Case.of_trace(trace))
    for line in facts(evidence):
        print(line)
    verdicts = judge(result["observations"], evidence)
    print(*verdicts, sep="\n")
    return sum(verdict.is_true is False for verdict in verdicts)


def facts(evidence: Evidence) -> list[str]:
    """Return what the judge measured, in lines."""
    skill, agreement = evidence.skill()
    decode = evidence.model.tokenizer.decode
    sinks = {
        f"{key} {decode([evidence.case.ids[key]])!r}": f"layers {layers[0]} to {layers[-1]}"
        for key, layers in evidence.sinks().items()
    }
    step = decisive(evidence)
    return [
        f"answer    {evidence.words.answer!r}, "
        f"decisive {None if step is None else decode([evidence.case.generated[step]])!r}",
        "skill     " + " ".join(f"{one:.2f}" for one in skill),
        "agreement " + " ".join(f"{one:.2f}" for one in agreement),
        f"sinks     {sinks}; {len(evidence.idle())} idle heads",
        f"rehearsal {sorted(read_rehearsal(evidence).cells, key=lambda c: -c.probability)[:3]}",
    ]


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    sys.exit(min(main(*map(Path, sys.argv[1:])), 1))

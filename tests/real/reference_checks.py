"""The judge's checks of how a prompt departs from others: here from the judge's own placebos."""

from __future__ import annotations

import re

import numpy as np

from real.evidence import Evidence, entropy_of
from real.verdict import NUMBER, Check, Finding, Mistakes, Verdict

_WORDS = re.compile(
    rf"in ([\d,]+) of ([\d,]+) layers?, most in layer (\d+): .*? {NUMBER}(?: nats)? "
    rf"\({NUMBER} to {NUMBER}[;)]"
)
_UP = ("more keys", "less certain")


def _check(finding: Finding, evidence: Evidence) -> Verdict | None:
    """Check the value, and that it lies outside the range of other questions in that direction."""
    match = _WORDS.search(finding["text"])
    if not match or "placebo" not in finding["text"]:
        return None
    layer, mistakes = int(match[3]), Mistakes()
    all_keys, without_sinks, lens = evidence.of_placebos()
    last = evidence.case.prompt - 1
    if finding["id"] == "reference_lens":
        own, others = entropy_of(evidence.at(last)), lens
    elif "sink keys left out" in finding["text"]:
        own = evidence.attention_without_sinks().heads["normalized"].mean(1)
        others = without_sinks
    else:
        own, others = evidence.attention.heads["all_keys"].mean(1), all_keys
    mistakes.number(f"layer {layer}", match[4], float(own[layer]))
    low, high = others.min(0), others.max(0)
    is_above = any(word in finding["text"] for word in _UP)
    outside = own > high if is_above else own < low
    way = "above" if is_above else "below"
    mistakes.claim(
        bool(outside[layer]),
        f"it is not {way} that of other questions, {low[layer]:.3f} to {high[layer]:.3f}",
    )
    mistakes.numbers.append(f"{way} in {int(np.sum(outside))} layers")
    return mistakes.verdict(finding)


CHECKS: dict[str, Check] = {"reference_attention": _check, "reference_lens": _check}

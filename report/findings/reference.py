"""How a prompt departs from a reference: the run's placebo questions, or earlier traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.attention import rows_of
from attentropy.report.findings.finding import Observation, layer_name
from attentropy.report.units import count, number_against

LEAST = 3  # of which a range says something
_LAYERS = 1 / 3  # the least share of layers that depart: one of a few does so by chance
# Mean normalized entropy grows with the prompt, so a reference counts up to so many times as long,
# or as short.
_LENGTHS = 1.25
_LEAST_LAYERS = 3
# The least departure that is worth a sentence: of a share, and in nats.
_SHARE, _NATS = 0.02, 0.1


@dataclass(frozen=True)
class Summary:
    """What is compared of each prompt [prompts, layers], NaN where it was not measured.

    tokens: of each prompt. attention: mean normalized entropy over all keys. focus: the same
    without the sink keys, on rows of keys enough, as in the finding on the range. lens: lens
    entropy at the last token, in nats. name: what the prompts are, in words.
    """

    tokens: np.ndarray
    attention: np.ndarray
    focus: np.ndarray
    lens: np.ndarray
    name: str = ""

    def at(self, prompts: np.ndarray) -> Summary:
        """Return what is compared of some of the prompts, [prompts] bool."""
        return Summary(
            self.tokens[prompts], self.attention[prompts], self.focus[prompts], self.lens[prompts],
            self.name,
        )  # fmt: skip


def check_references(trace: Trace, references: Sequence[Trace]) -> None:
    """Raise `UsageError` where `references` are too few, or not of the trace's own model."""
    if references and isinstance(trace, Difference):
        raise UsageError("`reference` does not apply to a comparison")
    own = trace.attrs.get("model", {}).get("weights_sha256")
    for number, other in enumerate(references, 1):
        if own is None or other.attrs.get("model", {}).get("weights_sha256") != own:
            raise UsageError(
                f"`reference`: trace {number} is not of the same model (its weights differ, or are "
                "not known)"
            )
        if not np.array_equal(other["layer"], trace["layer"]):
            raise UsageError(f"`reference`: trace {number} has other layers")
    if 0 < len(references) < LEAST:
        raise UsageError(f"`reference` needs at least {LEAST} traces")


def observe_reference(
    trace: Trace,
    attention: planes.AttentionPlanes | None,
    references: Sequence[Trace] = (),
) -> list[Observation]:
    """Return how the prompt departs from the reference, nothing where it does not.

    references: traces of the same model in place of the trace's own placebo questions. A value
    departs where it lies outside the reference's range by more than the range's width. Only
    prompts of nearly as many tokens count, up to 1.25 times as many or as few.
    """
    reference = _of_traces(references) if references else _stored(trace)
    if reference is None:
        return []
    tokens = trace.prompt_tokens
    is_alike = (reference.tokens <= _LENGTHS * tokens) & (tokens <= _LENGTHS * reference.tokens)
    if is_alike.sum() < LEAST:
        return []
    reference = reference.at(is_alike)
    own = _of_traces([trace], attention)
    skill = lens_skill(trace)
    lens = own.lens[0] if skill is None else np.where(skill.is_readable, own.lens[0], np.nan)
    prompts = count(len(reference.tokens), reference.name)
    name, keys = (
        ("focus", rows_of(leaves_sinks_out=True))
        if _have_focus(own, reference)
        else ("attention", "all keys")
    )
    findings = [
        _departure(
            trace, "reference_attention", getattr(own, name)[0], getattr(reference, name), _SHARE,
            ("spreads its attention over more keys", "focuses its attention on fewer keys"),
            "mean normalized entropy {}", prompts, keys,
        ),
        _departure(
            trace, "reference_lens", lens, reference.lens, _NATS,
            ("leaves the lens less certain at its last token",
             "leaves the lens more certain at its last token"),
            "lens entropy {} nats", prompts,
        ),
    ]  # fmt: skip
    return [finding for finding in findings if finding is not None]


def _departure(
    trace: Trace, id: str, own: np.ndarray, reference: np.ndarray, least: float,
    words: tuple[str, str], value: str, prompts: str, keys: str = "",
) -> Observation | None:  # fmt: skip
    """Return the finding about one quantity, own [layers] and reference [prompts, layers].

    words: what the prompt does where it is above the range, and below. keys: which ones the
    quantity is over. None where it departs in too few layers, and where the reference was not
    measured.
    """
    is_known = np.isfinite(own) & np.isfinite(reference).all(0)
    low, high = reference.min(0), reference.max(0)
    above, below = own - high, low - own
    excess = np.where(is_known, np.maximum(above, below), -np.inf)
    width = np.where(is_known, high - low, 0.0)
    departs = is_known & (excess > np.maximum(width, least))
    entry = int(np.where(departs, excess / np.maximum(width, least), -np.inf).argmax())
    is_above = bool(above[entry] > 0)
    number = int((departs & ((above > 0) == is_above)).sum())
    if number < max(_LEAST_LAYERS, _LAYERS * is_known.sum()):
        return None
    written = number_against(
        float(own[entry]), round(float(low[entry]), 2), round(float(high[entry]), 2)
    )
    text = (
        f"This prompt {words[0 if is_above else 1]} than each of {prompts} in {number:,} of "
        f"{count(int(is_known.sum()), 'layer')}, most in {layer_name(trace, entry)}: "
        f"{value.format(written)} ({low[entry]:.2f} to {high[entry]:.2f}"
        f"{f'; {keys}' if keys else ''})."
    )
    is_lens = id == "reference_lens"
    return Observation(
        id, text, "lens_entropy" if is_lens else "normalized_entropy", float(own[entry]),
        "nats" if is_lens else "share of ln(visible)", float((high if is_above else low)[entry]),
        len(reference), True, "lens" if is_lens else "attention", entry,
        trace.prompt_tokens - 1 if is_lens else None,
    )  # fmt: skip


def _have_focus(own: Summary, reference: Summary) -> bool:
    """Return whether all prompts have the means without sink keys wherever they have the others."""
    layers = np.logical_and(*(np.isfinite(one.attention).all(0) for one in (own, reference)))
    has_focus = [np.isfinite(one.focus[:, layers]).all() for one in (own, reference)]
    return bool(layers.any() and all(has_focus))


def _stored(trace: Trace) -> Summary | None:
    """Return what the trace has of its placebo questions."""
    names = ("reference_tokens", "reference_entropy", "reference_lens_entropy")
    if any(name not in trace for name in names):
        return None
    tokens, attention, lens = (trace[name] for name in names)
    name = "reference_entropy_without_sinks"
    focus = trace[name] if name in trace else np.full_like(attention, np.nan)
    return Summary(tokens, attention, focus, lens, "placebo question")


def _of_traces(
    traces: Sequence[Trace], attention: planes.AttentionPlanes | None = None
) -> Summary:  # fmt: skip
    """Return the same of whole traces; `attention`: what was read of the only one already."""
    rows = []
    for trace in traces:
        read = attention or planes.read_attention(trace)
        means, focus = np.full((2, trace["layer"].size), np.nan)
        if read is not None:
            means = _means(read.normalized_sum, read.normalized_count)
        if read is not None and read.leaves_sinks_out:
            focus = _means(read.focus_sum, read.focus_count)
        lens = np.full(means.shape, np.nan)
        if "lens_entropy" in trace and "residual" in trace.sites:
            last = slice(trace.prompt_tokens - 1, trace.prompt_tokens)
            lens = trace.lens("lens_entropy", last, "residual")[:, 0]
        rows.append((trace.prompt_tokens, means, focus, lens))
    tokens, means, focus, lens = (np.array(column) for column in zip(*rows, strict=True))
    return Summary(tokens, means, focus, lens, "reference trace")


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the mean of each layer from sums and counts by head, [layer, head]; NaN for none."""
    total, number = sums.sum(1), counts.sum(1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)

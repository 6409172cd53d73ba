"""Which layers and heads of a trace have attention, and why the others have none."""

from __future__ import annotations

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.text import count
from attentropy.report.text import for_sentence

_LISTED = 12


def recorded_heads(trace: Trace, entry: int) -> list[int]:
    """Return the numbers of the heads of one layer in the trace, [-1] for a recorded mean.

    A layer without attention has none; a trace that does not say how many heads each layer has
    is of equal layers.
    """
    heads = [int(head) for head in trace["head"]] if "head" in trace else []
    if "heads" not in trace:
        return heads
    own = int(trace["heads"][entry])
    return [head for head in heads if head < own] if own > 0 else []


def why_no_attention(trace: Trace, entry: int, head: int | None = None) -> str:
    """Return why a layer, or one of its heads, has no attention; "" where it has some."""
    layer, heads = f"layer {int(trace['layer'][entry])}", recorded_heads(trace, entry)
    if reason := _reason(trace, entry):
        return f"{layer}: {reason}"
    if head is None or head < 0 or head in heads or heads == [-1]:
        return ""
    return f"{layer} has no head {head} (it has {count(len(heads), 'head')})"


def _reason(trace: Trace, entry: int) -> str:
    note = str(trace["attention_note"][entry]) if "attention_note" in trace else ""
    if note:
        return for_sentence(note, 300)
    return "" if recorded_heads(trace, entry) else "no attention recorded"


def layers_without_attention(trace: Trace) -> str:
    """Return a sentence that says which layers have no attention, and why; "" where all have."""
    reasons: dict[str, list[str]] = {}
    for entry, layer in enumerate(trace["layer"]):
        if reason := _reason(trace, entry):
            reasons.setdefault(reason, []).append(str(int(layer)))
    parts = [
        f"{_layer_list(layers)}: {reason}" for reason, layers in list(reasons.items())[:_LISTED]
    ]
    return f"No values in {'; '.join(parts)}." if parts else ""


def _layer_list(layers: list[str]) -> str:
    named = ", ".join(layers[:_LISTED]) + (" …" if len(layers) > _LISTED else "")
    return f"layer {named}" if len(layers) == 1 else f"layers {named}"


def attention_entries(trace: Trace, head: int | None = None) -> list[int]:
    """Return the entries of the layers that have attention, or that head."""
    layers = range(trace.dataset.sizes["layer"])
    return [entry for entry in layers if not why_no_attention(trace, entry, head)]


def attention_entry(trace: Trace, entry: int | None, head: int | None = None) -> int:
    """Return the entry to show: the chosen one, or the first that has attention, or that head.

    Raises `UsageError` where the chosen one has nothing to show.
    """
    if entry is None:
        return next(iter(attention_entries(trace, head)), 0)
    require_attention(trace, entry, head)
    return entry


def require_attention(trace: Trace, entry: int, head: int | None = None) -> None:
    """Raise `UsageError` where a layer, or one of its heads, has no attention to show."""
    if why := why_no_attention(trace, entry, head):
        numbers = [str(int(trace["layer"][i])) for i in attention_entries(trace)]
        more = " …" if len(numbers) > _LISTED else ""
        have = ", ".join(numbers[:_LISTED]) + more or "none"
        raise UsageError(f"`layer`: {why}; layers with attention: {have}")

"""The two sides of a difference: what each has, and what both must have in common."""

from __future__ import annotations

import numpy as np

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.schema import COMPARISON


def check_texts(a: Trace, b: Trace) -> None:
    """Refuse redacted traces: their numbers and marks mean different texts in each."""
    for side, trace in (("A", a), ("B", b)):
        if is_redacted(trace):
            raise UsageError(
                f"{side} is redacted, so its tokens cannot be compared; compare the original "
                "traces "
                "with `redact=True`"
            )


def check_traces(a: Trace, b: Trace) -> None:
    """Refuse what is a comparison already."""
    for side, trace in (("A", a), ("B", b)):
        if trace.attrs.get("format") == COMPARISON.name:
            raise UsageError(f"{side} is already a comparison; compare two traces")


def check_layers(a: Trace, b: Trace) -> None:
    """Refuse traces with different numbers of layers."""
    one, other = a.dataset.sizes["layer"], b.dataset.sizes["layer"]
    if one != other:
        raise UsageError(f"different layer counts ({one} and {other}) cannot be compared")


def contents_words(trace: Trace) -> str:
    """Return in words which views a trace has, and at which sites."""
    variables = {"lens": "lens_entropy", "attention": "entropy"}
    views = [view for view, name in variables.items() if name in trace]
    sites = f" at {', '.join(lens_sites(trace))}" if "lens" in views else ""
    return (" and ".join(views) or "neither") + sites


def number_texts(trace: Trace, ids: np.ndarray, numbers: dict[str, int]) -> np.ndarray:
    """Return the number of each id's text in `numbers`; -1 stays.

    A text that has none yet gets the next number.
    """
    own, index = np.unique(ids, return_inverse=True)
    own_numbers = [
        numbers.setdefault(text or f"id {i}", len(numbers)) if i >= 0 else -1
        for i, text in zip(own.tolist(), trace.text_of(own), strict=True)
    ]
    return np.array(own_numbers, np.int32)[index].reshape(ids.shape)


def lens_sites(trace: Trace) -> list[str]:
    """Return the lens's sites, the one that opens first."""
    if "lens_entropy" not in trace:
        return []
    sites = [str(site) for site in trace["site"]] if "site" in trace else ["residual"]
    return sorted(sites, key=lambda site: site != trace.site)


def site_entry(trace: Trace, site: str) -> int:
    """Return the entry of a site along `site`."""
    sites = [str(name) for name in trace["site"]] if "site" in trace else [site]
    return sites.index(site)

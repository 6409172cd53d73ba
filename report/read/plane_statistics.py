"""Statistics that a view can show besides entropy, of attention and of the lens.

Each has its own scale. A trace without a statistic does not offer it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import ATTENTION_STATISTICS
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.read import views
from attentropy.report.read.views import View
from attentropy.report.scale import Scale

NORMALIZED = "normalized_entropy"


@dataclass(frozen=True)
class PlaneStatistic:
    """A statistic with its scale and its words.

    `name` is that of definitions.md; `label` stands in the chooser and the tooltip, `title` in the
    legend, `what` in the caption. `bits` are enough for its steps in a page without room.
    """

    name: str
    label: str
    title: str
    what: str
    scale: Scale
    bits: int = 8

    def facts(self) -> dict[str, Any]:
        """Return what the page's script reads of the statistic."""
        words = {"title": self.title, "label": self.label, "what": self.what}
        return self.scale.facts() | words


def offered_statistics(trace: Trace, view: View) -> list[PlaneStatistic]:
    """Return the statistics besides entropy that the trace has values for."""
    return statistics_of(trace, view.name)


def statistics_of(trace: Trace, name: str) -> list[PlaneStatistic]:
    """Return the statistics of the view `name` that the trace has values for.

    A difference of two traces has none.
    """
    if isinstance(trace, Difference):
        return []
    candidates = _of_lens(trace) if name == "lens" else _of_attention(trace)
    return [s for variables, s in candidates if all(variable in trace for variable in variables)]


def lens_sites(trace: Trace) -> list[str]:
    """Return the lens's sites; the first one opens."""
    if "lens_entropy" not in trace:
        return []
    return [trace.site, *(site for site in trace.sites if site != trace.site)]


def _of_attention(trace: Trace) -> Iterator[tuple[Sequence[str], PlaneStatistic]]:
    """Yield the statistics of attention, each with the variables that it needs."""
    most_keys = int(trace["visible"].max()) if "visible" in trace and trace["visible"].size else 0
    distances = Scale(
        0.0, float(max(most_keys - 1, 1)), "tokens", 1, "logarithmic", dark="high",
        hue="sequential", ends=("near", "far"),
    )  # fmt: skip
    yield (
        ("entropy", "visible"),
        PlaneStatistic(
            NORMALIZED, "normalized entropy", "H / ln(visible)",
            "normalized attention entropy", Scale(0.0, 1.0, ends=views.ENTROPY_ENDS["attention"]),
        ),
    )  # fmt: skip
    for recorded in ATTENTION_STATISTICS:
        if recorded.labels is not None:
            texts = recorded.labels
            share = _share(("none", "all") if recorded.certainty is None else ("spread", "one key"))
            if recorded.unit == "nats":
                scale, bits = _score_scale(trace, recorded.name), 16
            else:
                scale, bits = {"share": (share, 8), "tokens": (distances, 16)}[recorded.unit]
            words = texts.label, texts.title, texts.description
            yield (recorded.name,), PlaneStatistic(recorded.name, *words, scale, bits)


def _share(ends: tuple[str, str]) -> Scale:
    """Return the scale of a share, on which much is dark."""
    return Scale(0.0, 1.0, dark="high", hue="sequential", ends=ends)


def _score_scale(trace: Trace, name: str) -> Scale:
    """Return the scale of scores, which have no ends of their own: from 0, or the least below."""
    least, most = 0.0, 0.0
    for values in planes.read_layers(trace, name) if name in trace else ():
        finite = values[np.isfinite(values)]
        least, most = min(least, finite.min(initial=0.0)), max(most, finite.max(initial=0.0))
    low, high = float(math.floor(least)), float(max(math.ceil(most), math.floor(least) + 1))
    return Scale(low, high, "nats", dark="high", hue="sequential", ends=("lowest", "highest"))


def _of_lens(trace: Trace) -> Iterator[tuple[Sequence[str], PlaneStatistic]]:
    """Yield the statistics of the lens, each with the variables that it needs."""
    size = trace.attrs.get("model", {}).get("vocabulary")
    last = size - 1 if isinstance(size, int) and size > 1 else 1
    if "lens_rank" in trace and trace["lens_rank"].size:
        last = max(last, int(trace["lens_rank"].max()))
    yield (
        ("lens_kl",),
        PlaneStatistic(
            "lens_kl", "KL to the last layer", "KL (nats)",
            "KL divergence to the last layer, in the logit lens", _divergence_scale(trace),
        ),
    )  # fmt: skip
    yield (
        ("lens_top_logprobs",),
        PlaneStatistic(
            "probability", "probability of the top token", "Probability",
            "probability of the logit lens's top token", _share(("unsure", "certain")),
        ),
    )  # fmt: skip
    yield (
        ("lens_rank", "target_ids"),
        PlaneStatistic(
            "lens_rank", "rank of the model's prediction", "Rank (log)",
            "rank of the model's prediction in the logit lens",
            Scale(
                1.0, float(last + 1), "", 0, "logarithmic", hue="sequential",
                ends=("top token", "last token"),
            ), 16,
        ),
    )  # fmt: skip


def _divergence_scale(trace: Trace) -> Scale:
    """Return the entropies' scale, or a longer one: a divergence can be larger than ln V."""
    most = views.largest(trace["lens_kl"]) if "lens_kl" in trace else 0.0
    end = max(views.scale_end(trace, "lens"), most)
    return Scale(0.0, end, "nats", hue="sequential", ends=("as the output", "far from it"))


def lens_values(trace: Trace, name: str, site: str) -> np.ndarray:
    """Return a statistic of the lens at one site, [layer, position], NaN where missing.

    Ranks count from 1, as everywhere where people read them.
    """
    if name == "probability":
        return np.exp(trace.lens("lens_top_logprobs", site=site)[..., 0].astype(np.float32))
    values = trace.lens("lens_entropy" if name == "entropy" else name, site=site)
    floats = values.astype(np.float32)
    return np.where(values < 0, np.nan, floats + 1) if values.dtype.kind == "i" else floats


@dataclass
class Plane:
    """A plane of the page besides those of the entropies: a statistic of a view, at a site.

    Planes of attention have no site.
    """

    trace: Trace
    view: View
    statistic: PlaneStatistic
    site: str = ""

    @property
    def key(self) -> str:
        """The plane's name in the page: "attention.distance", "lens.mlp.entropy"."""
        return ".".join(filter(None, (self.view.name, self.site, self.statistic.name)))

    @cached_property
    def averages(self) -> planes.Averages:
        """Means over heads and tiles of every head, of a statistic of attention."""
        return planes.read_averages(self.trace, self.statistic.name)

    @cached_property
    def values(self) -> np.ndarray:
        """The values, [layer, position]; of attention the mean over heads."""
        if self.site:
            return lens_values(self.trace, self.statistic.name, self.site)
        return self.averages.mean


def extra_planes(trace: Trace, shown: Sequence[View]) -> list[Plane]:
    """Return all planes besides those of the entropies, the most important first."""
    extras = [
        Plane(trace, view, statistic, trace.site if view.name == "lens" else "")
        for view in sorted(shown, key=lambda view: view.name)  # attention first
        for statistic in offered_statistics(trace, view)
    ]
    for view in shown:
        if view.name == "lens" and view.scale.kind != "diverging":
            entropy = PlaneStatistic("entropy", "entropy", view.title, "", view.scale)
            choices = [entropy, *offered_statistics(trace, view)]
            extras += [
                Plane(trace, view, statistic, site)
                for site in lens_sites(trace)[1:]
                for statistic in choices
            ]
    return extras

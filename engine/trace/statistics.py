"""The attention statistics that a trace can hold: one row each, from which everything else reads.

The trace's variables and checks, the run's options and their help, the page's choosers, charts and
findings take names, units, ranges and labels from here. `kernels.common.statistics` says how each
one is computed; a test holds the two tables together. `docs/definitions.md` defines the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What the largest possible value of a statistic is; "visible" is the number of visible keys.
UpperEnd = Literal["one", "ln visible", "visible", "unbounded"]


@dataclass(frozen=True)
class Labels:
    """How the page names a statistic.

    `label` stands in the chooser and the tooltip, `title` over the legend, `description` in the
    caption and `curve` over the chart per layer.
    """

    label: str
    title: str
    description: str
    curve: str


@dataclass(frozen=True)
class Statistic:
    """One number per (layer, head, query).

    `unit` is "nats", "share" (0 to 1), "tokens", "nats²" or "key" (the position of a key, int32;
    −1 where no key is visible). `certainty` says which end means a certain head. `default`: whether
    `record` computes it when no statistic is named. `fits_float16`: whether narrow storage holds
    it. `is_signed`: whether it can be negative. `needs` are the variables without which it says
    nothing. `labels` is None where the page does not offer it.
    """

    name: str
    unit: str
    upper_end: UpperEnd
    certainty: Literal["low", "high"] | None = None
    default: bool = False
    fits_float16: bool = False
    is_signed: bool = False
    needs: tuple[str, ...] = ()
    labels: Labels | None = None

    @property
    def is_key(self) -> bool:
        """Whether its values are positions of keys, not measurements."""
        return self.unit == "key"


ATTENTION_STATISTICS = (
    Statistic("entropy", "nats", "ln visible", "low", default=True, fits_float16=True),
    Statistic(
        "max_prob", "share", "one", "high", default=True, fits_float16=True, needs=("entropy",),
        labels=Labels(
            "largest weight", "Largest weight", "largest attention weight",
            "largest weight of a query",
        ),
    ),
    Statistic(
        "max_logit", "nats", "unbounded", is_signed=True,
        labels=Labels(
            "largest score", "Largest score (nats)", "largest attention score before the softmax",
            "largest score of a query (nats)",
        ),
    ),
    Statistic("varentropy", "nats²", "unbounded", "low", fits_float16=True),
    Statistic(
        "distance", "tokens", "visible", default=True, is_signed=True,
        labels=Labels(
            "mean distance", "Tokens (log)", "mean attended distance",
            "mean attended distance (tokens)",
        ),
    ),
    Statistic(
        "sink_mass", "share", "one", default=True, fits_float16=True,
        needs=("entropy", "visible"),
        labels=Labels(
            "sink mass", "Sink mass", "attention mass on the first four keys",
            "sink mass (on the first four tokens)",
        ),
    ),
    Statistic("sink_prob", "share", "one", fits_float16=True),
    Statistic("top_key", "key", "visible", default=True, needs=("entropy",)),
    Statistic("lse", "nats", "unbounded", is_signed=True),
)  # fmt: skip

# Rows without the sink keys of their layer, which a further sweep hides.
TOP_KEY_WITHOUT_SINKS = "top_key_without_sinks"
WITHOUT_SINKS = ("sink_key_mass", "entropy_without_sinks", TOP_KEY_WITHOUT_SINKS)

BY_NAME = {statistic.name: statistic for statistic in ATTENTION_STATISTICS}

# What `record` computes when no statistic is named; what `extract` writes of attention, and of all.
DEFAULT_STATS = tuple(one.name for one in ATTENTION_STATISTICS if one.default)
KEPT_ATTENTION = (*DEFAULT_STATS, "lse")
# ln p of each token of the text under the model's own output: one number per token, not per head.
TOKEN_LOGPROB = "token_logprob"
KEPT_STATS = (*KEPT_ATTENTION, TOKEN_LOGPROB)
# What can be named: entropy is always recorded, and sink_prob wherever a model has learned sinks.
OPTIONAL_STATS = (
    *(name for name in BY_NAME if name not in ("entropy", "sink_prob")), TOKEN_LOGPROB,
)  # fmt: skip


def is_key(name: str) -> bool:
    """Return whether the variable `name` holds positions of keys."""
    return name == TOP_KEY_WITHOUT_SINKS or (name in BY_NAME and BY_NAME[name].is_key)

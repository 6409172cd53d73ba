"""How a trace is divided into the units that people read, and which parts of it have names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import xarray as xr

from attentropy.engine.errors import UsageError
from attentropy.engine.trace import units
from attentropy.engine.trace.readable import Readable, is_redacted
from attentropy.engine.trace.segments import segment_names
from attentropy.engine.trace.text import text_array

Tracelike = TypeVar("Tracelike", bound=Readable)


class Divided:
    """The methods of a trace about its words, messages and segments."""

    def by(self: Readable, unit: str, statistics: Iterable[str] | None = None) -> xr.Dataset:
        """Return sums and means over each word, message or segment, in float64.

        Args:
            unit: "token", "word" (by Unicode's word boundaries), "message" or "segment".
            statistics: Variables with one number per token, such as "max_prob"; by default
                "entropy", "lens_entropy" and "received" as far as the trace has them.

        Returns:
            Along the dimension `unit`: `text`, `role`, `start`, `stop`, `tokens` (how many);
            NAME_sum (NaN where a token has no value) and NAME_mean; `surprisal_sum` and
            `surprisal_mean`, and `answer_attention`, the share of the answer's attention that the
            unit receives in each layer and head, where the trace has what they need. NAME_sum and
            NAME_mean are computed when they are read: of a long trace, read one layer at a time.

        Raises:
            UsageError: The unit or a statistic is not in the trace.

        Examples:
            >>> from attentropy import extract
            >>> words = extract().by("word")
            >>> words["entropy_sum"].dims
            ('layer', 'head', 'word')
        """
        return units.by(self, unit, statistics)

    def with_segments(self: Tracelike, segments: Mapping[str, Any]) -> Tracelike:
        """Return the trace with named parts of the prompt, for `by("segment")`.

        Args:
            segments: For each name the characters [start, stop] of the prompt's words, or the
                words themselves, which must occur once.

        Raises:
            UsageError: A part is not in the prompt, or two share a token.
        """
        if is_redacted(self):
            raise UsageError("`segments`: the trace is redacted, so its text is unknown")
        names = segment_names(self.tokens, self.roles, segments)
        dataset = self.dataset.assign_coords(segment=("position", text_array(names)))
        return type(self)(dataset, self.sources)  # type: ignore[call-arg]

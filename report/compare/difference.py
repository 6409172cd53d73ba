"""The difference of two traces: B − A at the tokens that both have.

The columns are A's positions, with B's own tokens between them. A difference is a trace, so
that everything that draws a trace can draw it: its entropies are differences in nats, NaN where a
column belongs to one side alone; the first of its two `lens_top_ids` is A's top token, the second
B's.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from xarray.core import indexing

from attentropy.engine.errors import AttentropyError, TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.pair import Alignment, TracePair, read_pair, write_pair
from attentropy.engine.trace.ranges import of_difference
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.redaction import redact_together
from attentropy.engine.trace.schema import COMPARISON
from attentropy.engine.trace.statistics import TOP_KEY_WITHOUT_SINKS, is_key
from attentropy.engine.trace.text import count
from attentropy.engine.trace.verify import Verification, verified, verify_dataset
from attentropy.report.compare.columns import (
    OnColumns,
    aligned,
    check_alignment,
    columns,
    on_columns,
)
from attentropy.report.compare.common import (
    check_layers,
    check_texts,
    check_traces,
    site_entry,
)
from attentropy.report.compare.subtraction import mean_over_heads, subtracted

BOTH, ONLY_A, ONLY_B = 0, 1, 2


class Difference(Trace):
    """B − A of two traces.

    `kind` [columns] is BOTH, ONLY_A or ONLY_B for each column; `at_a` and `at_b` [columns] are its
    position in A and in B, -1 for none. `by_text` is true if the tokens were aligned by text,
    because the two vocabularies differ. `names` are the names of A and B. With `redact`, texts are
    used for the alignment but not stored. With an `alignment`, texts are not compared again.
    """

    _form = COMPARISON.name

    def __init__(
        self,
        a: Trace,
        b: Trace,
        names: tuple[str, str] = ("A", "B"),
        *,
        redact: bool = False,
        alignment: Alignment | None = None,
    ) -> None:
        check_traces(a, b)
        check_layers(a, b)
        if alignment is None:
            check_texts(a, b)
            alignment = aligned(a, b)
        self.names = names
        self._alignment = alignment
        self.by_text = alignment.by_text
        self.at_a, self.at_b, self._prompt_columns = columns(alignment, a, b)
        self.kind = np.where(
            self.at_b < 0, ONLY_A, np.where(self.at_a < 0, ONLY_B, BOTH)
        ).astype(np.int8)  # fmt: skip
        self.a, self.b = redact_together(a, b) if redact else (a, b)
        super().__init__(subtracted(self))

    @classmethod
    def open(
        cls, path: str | Path, *, partial: bool = False, max_cells: int | None = None
    ) -> Difference:
        """Open a saved comparison; values are read from disk when they are used.

        Args:
            path: A `.zarr` folder or a `.zarr.zip` file.
            partial: Must be false: a comparison is never unfinished.
            max_cells: The work that the comparison may make, for one that you trust; see
                `Trace.open`.

        Returns:
            The difference.

        Raises:
            TraceError: The path is not a valid comparison, or `partial` is true.
        """
        path = Path(path)
        if partial:
            raise TraceError(f"{path.name}: a comparison cannot be opened with `partial=True`")
        pair = read_pair(path, max_cells=max_cells)
        try:
            check_alignment(pair.a, pair.b, pair.alignment)
            return cls(pair.a, pair.b, pair.names, alignment=pair.alignment)
        except AttentropyError as error:
            raise TraceError(f"{path.name}: {str(error).removeprefix(f'{path.name}: ')}") from error

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the comparison to a folder (`.zarr`) or a single file (`.zarr.zip`).

        The store contains both traces, their names and their alignment; `attentropy.open` opens
        it.

        Args:
            path: NAME.zarr or NAME.zarr.zip.
            force: Overwrite what exists at `path`.

        Returns:
            The path.

        Raises:
            UsageError: The name has another ending, the parent folder does not exist, or the path
                exists and `force` is false.
        """
        pair = TracePair(self.a, self.b, self.names, self._alignment)
        return write_pair(pair, Path(path), force=force)

    def redacted(self) -> Difference:
        """Return the comparison without its texts, aligned as they are."""
        if is_redacted(self.a):
            return self
        return Difference(self.a, self.b, self.names, redact=True, alignment=self._alignment)

    def verify(self) -> Verification:
        """Check every value of both traces, and every difference, as `Trace.verify` does."""
        facts = [trace.attrs.get("model") or {} for trace in self.traces]
        sizes = [one.get("vocabulary") or 0 for one in facts]
        attrs = {"model": {"vocabulary": max(sizes) if all(sizes) else None}, "redacted": True}
        own = verify_dataset(self.dataset, "B - A of ", of_difference, attrs)
        return verified(self.a, "a/") + verified(self.b, "b/") + own

    def __repr__(self) -> str:
        layers, many = self.dataset.sizes["layer"], count(int(self.both.sum()), "token")
        return (
            f"<Difference B − A: {many} in both, {count(self.kind.size, 'column')}, "
            f"{count(layers, 'layer')}>"
        )

    @property
    def both(self) -> np.ndarray:
        """The columns that both sides have, [columns] bool."""
        columns: np.ndarray = self.kind == BOTH
        return columns

    @property
    def prompt_tokens(self) -> int:
        """The number of columns of the prompts; those of the answers follow them."""
        return self._prompt_columns

    @property
    def compared(self) -> np.ndarray:
        """The columns that findings are about, [columns] bool: those of both prompts."""
        compared: np.ndarray = self.both & (np.arange(self.kind.size) < self._prompt_columns)
        return compared

    @property
    def same_length(self) -> bool:
        """Whether every query of the prompts sees as many tokens on both sides."""
        return bool(self.both[: self._prompt_columns].all())

    @cached_property
    def sides(self) -> dict[str, np.ndarray]:
        """Both sides of the subtraction, by view: [2, layer, columns] in nats, A first.

        Attention is the mean over heads. NaN stands where the side has no token or no value.
        """
        sides = {}
        if "lens_entropy" in self:
            sides["lens"] = np.stack([self.lens_of(side, "lens_entropy") for side in (0, 1)])
        if "entropy" in self:
            sides["attention"] = mean_over_heads(self)
        return sides

    def of_side(self, name: str, side: int) -> xr.DataArray:
        """Return one side's variable [..., columns], which is read when it is used.

        NaN or -1 stands where the side has no token. The values of `top_key` are columns, sink keys
        left out where both sides have that.
        """
        dataset = (self.a, self.b)[side].dataset
        sources = [dataset[name]]
        if name == "top_key" and self.leaves_sinks_out:
            sources.append(dataset[TOP_KEY_WITHOUT_SINKS])

        def as_columns(keys: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
            if others is not None:
                keys = np.where(others >= 0, others, keys)
            return self._key_columns(keys, side)

        compute = as_columns if is_key(name) else _unchanged
        lazy = OnColumns(sources, [(self.at_a, self.at_b)[side]] * len(sources), compute)
        return xr.DataArray(xr.Variable(sources[0].dims, indexing.LazilyIndexedArray(lazy)))

    def lens_of(self, side: int, name: str) -> np.ndarray:
        """Return one side's lens variable at `site`, [layer, columns]."""
        values: np.ndarray = self.of_side(name, side)[
            site_entry(self.traces[side], self.site)
        ].values
        return values

    def spread(self, values: np.ndarray, side: int) -> np.ndarray:
        """Return one side's values [..., positions] on the columns; NaN or -1 without a token."""
        return on_columns(values, (self.at_a, self.at_b)[side])

    @property
    def heads_match(self) -> bool:
        """Whether both sides hold attention of the same heads, by their numbers."""
        a, b = self.traces
        return "head" in a and "head" in b and np.array_equal(a["head"], b["head"])

    @property
    def leaves_sinks_out(self) -> bool:
        """Whether the most attended keys are those besides sink keys: both sides have these."""
        return all(TOP_KEY_WITHOUT_SINKS in trace for trace in self.traces)

    @property
    def traces(self) -> tuple[Trace, Trace]:
        """A and B."""
        return self.a, self.b

    def _key_columns(self, keys: np.ndarray, side: int) -> np.ndarray:
        """Return the columns of one side's keys; -1 stays."""
        column = np.flatnonzero((self.at_a, self.at_b)[side] >= 0)
        return np.where(keys >= 0, column[np.clip(keys, 0, column.size - 1)], -1)


def compare(
    a: Trace, b: Trace, names: tuple[str, str] = ("A", "B"), *, redact: bool = False
) -> Difference:
    """Return the difference B − A of two traces: two prompts of one model, or two models.

    Tokens are aligned by id if both have the same vocabulary, otherwise by text.

    Args:
        a: The first trace.
        b: The second trace, with the same number of layers.
        names: Names of the two in the report.
        redact: Align the texts, then replace each by its length and role.

    Returns:
        The difference. Its columns are A's positions with B's additional tokens in between; its
        entropies are B − A in nats, NaN in columns that only one side has. A notebook shows it;
        `difference.report("compare.html")` writes the report.

    Raises:
        UsageError: Less than half of the longer prompt's tokens are in both, the layer counts
            differ, the traces have no values in common, or one is redacted already.

    Examples:
        >>> from attentropy import compare, extract
        >>> a = extract(prompt="What is the capital of Japan?")
        >>> b = extract(prompt="What is the capital of Austria?")
        >>> compare(a, b)
        <Difference B − A: 17 tokens in both, 21 columns, 8 layers>
    """
    return Difference(a, b, names, redact=redact)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values

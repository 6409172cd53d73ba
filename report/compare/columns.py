"""The columns on which two traces are compared: their positions in each, and reading on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.pair import Alignment
from attentropy.engine.trace.readable import is_redacted
from attentropy.engine.trace.text import count
from attentropy.report.compare.align import align

LEAST_MATCH = 0.5  # of the longer side's tokens


def same_vocabulary(a: Trace, b: Trace) -> bool:
    """Return whether ids mean the same texts.

    The hashes of the two vocabularies say so. Where a trace has none, no id that both prompts use
    may have two texts.
    """
    tokenizers = [trace.attrs.get("tokenizer") for trace in (a, b)]
    digests = [one.get("sha256") if isinstance(one, dict) else None for one in tokenizers]
    if None not in digests:
        return digests[0] == digests[1]
    one, other = _texts(a), _texts(b)
    shared = one.keys() & other.keys()
    return bool(shared) and all(one[i] == other[i] for i in shared)


def _texts(trace: Trace) -> dict[int, str]:
    """Return the texts of the ids in a trace's prompt."""
    pairs = zip(trace["token_ids"], trace["token_text"], strict=True)
    return {int(i): str(text) for i, text in pairs}


def aligned(a: Trace, b: Trace) -> Alignment:
    """Return the positions of A and of B that are one token: of both prompts, or of both answers.

    Raises `UsageError` where less than half of the longer prompt is in both.
    """
    by_text = not same_vocabulary(a, b)
    one, other = (trace.tokens if by_text else trace["token_ids"].tolist() for trace in (a, b))
    numbers: dict[Any, int] = {}
    sequences = [[numbers.setdefault(token, len(numbers)) for token in s] for s in (one, other)]
    ends = a.prompt_tokens, b.prompt_tokens
    of_a, of_b = align(*(tokens[:end] for tokens, end in zip(sequences, ends, strict=True)))
    longer = max(ends)
    if of_a.size < LEAST_MATCH * longer:
        raise UsageError(
            f"only {of_a.size:,} of the longer prompt's {count(longer, 'token')} are in both; "
            "prompts that share less than half of their tokens cannot be compared"
        )
    answers = align(*(tokens[end:] for tokens, end in zip(sequences, ends, strict=True)))
    of_a, of_b = (
        np.concatenate([own, more + end])
        for own, more, end in zip((of_a, of_b), answers, ends, strict=True)
    )
    return Alignment(of_a, of_b, by_text)


def check_alignment(a: Trace, b: Trace, alignment: Alignment) -> None:
    """Raise `TraceError` for a stored alignment that `aligned` would not have given.

    Only tokens that are the same are matched, and at least half of the longer prompt. Of redacted
    texts, those with the same number are the same.
    """
    of_a, of_b = alignment.of_a, alignment.of_b
    in_prompt = of_a < a.prompt_tokens
    if (in_prompt != (of_b < b.prompt_tokens)).any():
        raise TraceError("tokens of a prompt are aligned with tokens of an answer")
    if in_prompt.sum() < max(1, LEAST_MATCH * max(a.prompt_tokens, b.prompt_tokens)):
        raise TraceError("less than half of the longer prompt's tokens are in both")
    if is_redacted(a) != is_redacted(b):
        raise TraceError("only one of the two traces is redacted")
    if alignment.by_text:
        one, other = np.array(_compared_texts(a), object), np.array(_compared_texts(b), object)
    else:
        one, other = a["token_ids"], b["token_ids"]
    if (one[of_a] != other[of_b]).any():
        raise TraceError("different tokens are aligned")


def _compared_texts(trace: Trace) -> list[str]:
    """Return the texts of the tokens; of a redacted trace, the numbers that stand for them."""
    if not is_redacted(trace):
        return trace.tokens
    return [text.partition("·")[0] for text in trace.tokens]


def columns(alignment: Alignment, a: Trace, b: Trace) -> tuple[np.ndarray, np.ndarray, int]:
    """Return which position of A and of B each column is, -1 for none, and how many are prompt.

    The columns are in A's order; tokens of B alone stand before the next match. Those of the
    answers follow those of the prompts.
    """
    of_a, of_b = alignment.of_a, alignment.of_b
    ends = a.prompt_tokens, b.prompt_tokens
    split = int((of_a < ends[0]).sum())
    prompts = _columns(of_a[:split], of_b[:split], *ends)
    answers = _columns(
        of_a[split:] - ends[0], of_b[split:] - ends[1],
        len(a.tokens) - ends[0], len(b.tokens) - ends[1],
    )  # fmt: skip
    at_a, at_b = (
        np.concatenate([first, np.where(then >= 0, then + end, -1)])
        for first, then, end in zip(prompts, answers, ends, strict=True)
    )
    return at_a, at_b, len(prompts[0])


def _columns(
    of_a: np.ndarray, of_b: np.ndarray, count_a: int, count_b: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the columns of two sequences, whose matches are `of_a` and `of_b`."""
    other = np.full(count_a, -1)
    other[of_a] = of_b
    only_b = np.setdiff1d(np.arange(count_b), of_b)
    at_a = np.concatenate([np.arange(count_a), np.full(only_b.size, -1)])
    at_b = np.concatenate([other, only_b])
    # Before which match; there A's own, B's own, the match itself; in the order of each.
    block = np.concatenate(
        [np.searchsorted(of_a, np.arange(count_a)), np.searchsorted(of_b, only_b)]
    )
    rank = np.where(at_b < 0, 0, np.where(at_a < 0, 1, 2))
    order = np.lexsort((np.maximum(at_a, at_b), rank, block))
    return at_a[order], at_b[order]


class OnColumns(BackendArray):
    """A lazy array on the columns, computed from variables [..., positions] when it is read."""

    def __init__(
        self,
        sources: Sequence[xr.DataArray],
        at: Sequence[np.ndarray],
        compute: Callable[..., np.ndarray],
    ) -> None:
        self._sources, self._columns, self._compute = sources, at, compute
        self.shape = (*sources[0].shape[:-1], at[0].size)
        self.dtype = np.dtype(np.float32 if sources[0].dtype.kind == "f" else np.int32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> Any:
        """Compute the values of a basic index."""
        *leading, last = key
        is_single = isinstance(last, (int, np.integer))
        columns = slice(last, last + 1) if is_single else last
        sides = (
            _at(source, tuple(leading), at[columns])
            for source, at in zip(self._sources, self._columns, strict=True)
        )
        values = self._compute(*sides).astype(self.dtype, copy=False)
        return values[..., 0] if is_single else values


def _at(source: xr.DataArray, leading: tuple[Any, ...], at: np.ndarray) -> np.ndarray:
    """Return a variable at positions `at`, NaN or -1 where that is -1.

    Only the positions from the first to the last of them are read.
    """
    exists = at >= 0
    start, stop = (int(at[exists][0]), int(at[exists][-1]) + 1) if exists.any() else (0, 0)
    values = source[(*leading, slice(start, stop))].values
    return on_columns(values, np.where(exists, at - start, -1))


def on_columns(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return values [..., positions] at positions `at`, as float32 or int32.

    NaN or -1 stands where the position is -1.
    """
    is_float = values.dtype.kind == "f"
    kind, missing = (np.float32, np.nan) if is_float else (np.int32, -1)
    values = values.astype(kind, copy=False)
    if not values.shape[-1]:
        return np.full((*values.shape[:-1], at.size), missing, kind)
    return np.where(at >= 0, values[..., np.maximum(at, 0)], kind(missing))

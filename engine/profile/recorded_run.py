"""A run as `extract` makes it, repeatable: all that the profile uses of `engine.run` is here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from attentropy.engine.attention.plan import AttentionPlan, first_entries
from attentropy.engine.attention.plan import plan_attention as plan_attention
from attentropy.engine.attention.recorder import Recorder
from attentropy.engine.lens.arrays import LensArrays
from attentropy.engine.lens.plan import LensPlan, plan_lens
from attentropy.engine.maps.plan import plan_sweeps
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.measure.gauge import Gauge
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.provenance import describe_run, provenance
from attentropy.engine.run import prefill
from attentropy.engine.run.answer import vocabulary_arrays
from attentropy.engine.run.job import Job
from attentropy.engine.run.plan import RunPlan, computed_stats
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace

PROBE_TOKENS = 16  # of the short passes before the run
_TOP_K = 5


@dataclass(frozen=True)
class RecordedRun:
    """What every pass over the prompt has in common.

    ids [1, N] are those of `text`. attention and sweeps: the plans of what is recorded; `sweeps`
    holds no sums, so that every pass may use it. folder: takes what is recorded; attrs: the
    trace's.
    """

    loaded: LoadedModel
    text: Prompt
    ids: Tensor
    chunk: int
    stats: tuple[str, ...]
    attention: AttentionPlan
    sweeps: Sweeps
    reading: LensPlan | None
    folder: Path
    attrs: dict[str, Any]

    @property
    def chunks(self) -> list[tuple[int, int]]:
        """Start and stop of each chunk."""
        return prefill.chunk_bounds(self.ids.shape[1], self.chunk)

    def read_unrecorded(self, start: int, stop: int, cache: Any) -> Any:
        """Return the model's output over the tokens start … stop−1, with nothing recorded."""
        return prefill.read_chunk(self.loaded.model, self.ids, start, stop, cache)

    @contextmanager
    def begin(self, gauge: Gauge) -> Iterator[OpenRun]:
        """Open a run as `extract` does, with its folder and its writer; both are gone afterwards.

        gauge: measures its parts "lens" and "writing".
        """
        lens = None
        if self.reading is not None:
            entries = first_entries(self.attention)
            lens = LensArrays(self.reading, self.text, self.loaded.tokenizer, entries, _TOP_K)
        run = RunPlan(
            loaded=self.loaded, text=self.text, ids=self.ids, chunk=self.chunk, step=self.chunk,
            requested_chunk=self.chunk, stats=computed_stats(self.stats), attention=self.attention,
            sweeps=self.sweeps, lens=lens, attrs=self.attrs,
        )  # fmt: skip
        partial = PartialTrace(self.folder / "trace.zarr", temporary=True)
        try:
            with Job(run, partial, {}, gauge=gauge) as job:
                job.begin()
                yield OpenRun(job)
        finally:
            partial.discard()


def plan_run(
    loaded: LoadedModel,
    text: Prompt,
    ids: Tensor,
    chunk: int,
    stats: tuple[str, ...],
    sites: Sequence[str],
    notes: list[str],
    folder: Path,
) -> RecordedRun:
    """Plan a run that records `stats`, and the lens at `sites`, without a map and head scores.

    notes: those made so far; what the plans add stands after them in the trace.
    """
    probe = ids[:, :PROBE_TOKENS]
    reading = plan_lens(loaded, probe, text, sites, None, None, notes) if sites else None
    attention, attention_notes = plan_attention(loaded.model, len(text.ids), stats, None, "all")
    sweeps, sweep_options = plan_sweeps(loaded, len(text.ids), tile="none", scores=False)
    described = describe_run(loaded, prefill.attention_flops(loaded.model, len(text.ids)))
    options = {"chunk": chunk, "stats": list(attention.names), "lens": list(sites)}
    return RecordedRun(
        loaded=loaded, text=text, ids=ids, chunk=chunk, stats=stats, attention=attention,
        sweeps=sweeps, reading=reading, folder=folder,
        attrs=provenance(
            described, text, notes + attention_notes, options | sweep_options
        ),
    )  # fmt: skip


class OpenRun:
    """A run that has begun and whose folder is there."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def recording(self) -> AbstractContextManager[Recorder]:
        """Record the attention calls of the passes that run while this is open."""
        return self._job.recording()

    def read_chunk(self, index: int, cache: Any) -> Any:
        """Return the output of the chunk `index`, whose lens is read and whose values are put."""
        return self._job.read_chunk(index, cache)

    def flush(self) -> None:
        """Wait until every value is written."""
        self._job.flush()

    def finish(self) -> Trace:
        """Return the complete trace, which stays in the folder."""
        lens = self._job.plan.lens
        vocabulary = vocabulary_arrays(lens.vocabulary) if lens is not None else {}
        return self._job.finish(vocabulary, {})

"""Runs for tests of interruption: one prompt, small chunks, and processes that may be killed."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attentropy.engine.run.extract import extract
from attentropy.engine.run.reader import PromptReader
from attentropy.engine.trace.dataset import Trace

PROMPT = "Paris is a city, and Canberra is another one. " * 7
SHORT_PROMPT = "Paris is a city, and Canberra is another one. " * 2
OPTIONS: dict[str, Any] = {
    "device": "cpu", "max_new_tokens": 3, "chunk": 29, "stats": ("max_prob",),
    "lens_layers": "0,-1",
}  # fmt: skip


def child(output: str, prompt: str, options: dict[str, Any], event: Any, at: int) -> None:
    """Run an extraction in a process of its own; set `event` when `at` tokens have been read."""
    import torch

    from attentropy.engine.run.extract import extract

    torch.set_num_threads(1)

    def report(stage: str, done: int, total: int) -> None:
        if stage.startswith("reading") and done >= at:
            event.set()

    extract(prompt=prompt, output=output, progress=report, **options)


def context() -> Any:
    """Return a context whose processes start with imported libraries and a single thread."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["attentropy.engine.run.extract", "attentropy.engine.demo"])
    return processes


def stop_at(monkeypatch: pytest.MonkeyPatch, at: int, error: BaseException) -> None:
    """Raise `error` where the run starts its chunk number `at`."""
    begin: Any = PromptReader._run_pass

    def stops(self: PromptReader, start: int, stop: int, *rest: Any) -> Any:
        if start == at * OPTIONS["chunk"]:
            raise error
        return begin(self, start, stop, *rest)

    monkeypatch.setattr(PromptReader, "_run_pass", stops)


def interrupt_at(monkeypatch: pytest.MonkeyPatch, at: int, **arguments: Any) -> None:
    """Run an extraction that Ctrl-C ends where it starts its chunk number `at`."""
    with monkeypatch.context() as patch:
        stop_at(patch, at, KeyboardInterrupt())
        pattern = r"partial has [\d,]+ of \d+ tokens; use `resume=True`"
        with pytest.raises(KeyboardInterrupt, match=pattern):
            extract(**arguments)


def assert_equal(actual: Trace, wanted: Trace) -> None:
    """Assert that two traces have the same variables and attributes, and exactly equal values."""
    assert set(actual.dataset.variables) == set(wanted.dataset.variables)
    for name in wanted.dataset.variables:
        np.testing.assert_array_equal(actual[str(name)], wanted[str(name)], err_msg=str(name))
    assert actual.attrs == wanted.attrs


def assert_holds(partial: Path, wanted: Trace, chunk: int = OPTIONS["chunk"]) -> int:
    """Assert that an unfinished trace opens and that its values are right as far as it goes.

    Returns the number of tokens that are done.
    """
    trace = Trace.open(partial, partial=True)
    state = trace.attrs["partial"]
    done = state["done"]
    assert state["tokens"] == wanted.prompt_tokens
    assert done % chunk == 0 or done == wanted.prompt_tokens
    named = wanted.prompt_tokens + state["answered"]
    assert len(trace.tokens) == named
    assert trace["token_ids"].tolist() == wanted["token_ids"][:named].tolist()
    assert trace.roles == wanted.roles[:named]
    rows_done = done + state["answered"]
    for name, variable in wanted.dataset.data_vars.items():
        if variable.dims[-1] == "query" or str(name).startswith("lens_"):
            rows = [
                slice(rows_done) if d in ("query", "position") else slice(None)
                for d in variable.dims
            ]
            values = trace.dataset[name].values[tuple(rows)]
            np.testing.assert_array_equal(values, variable.values[tuple(rows)], err_msg=str(name))
    return int(done)

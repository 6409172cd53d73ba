"""What a command keeps of a long run whose result cannot be drawn or written."""

from __future__ import annotations

import shlex
import shutil
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attentropy.engine.keeping import on_failure
from attentropy.report.commands import output
from attentropy.report.commands.endings import PAGE_ENDINGS

if TYPE_CHECKING:
    from attentropy.engine.bench.results import Results
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.compare.difference import Difference


def trace_on_failure(
    trace: Trace | Difference,
    target: Path,
    saved: Path | None = None,
    *,
    what: str = "the trace",
    scratch: Path | None = None,
) -> AbstractContextManager[None]:
    """Keep a trace or a comparison where it cannot be drawn, and name what draws it.

    saved: where it is already, if anywhere. Else it is saved next to the page; a long one that was
    recorded into the folder `scratch` is moved there, which takes no further space.
    """
    then = "draw it with: attentropy render {}"
    if not output.is_standard_output(target) and target.name.lower().endswith(PAGE_ENDINGS):
        then += f" -o {shlex.quote(str(target))}"
    if scratch is not None and (store := scratch / "trace.zarr").is_dir():
        return on_failure(what, partial(shutil.move, store), target, ".zarr", then, saved=saved)
    return on_failure(what, trace.save, target, ".zarr.zip", then, saved=saved)


def results_on_failure(
    results: Results, target: Path | None, page: Path | None, saved: Path | None = None
) -> AbstractContextManager[None]:
    """Keep what `bench` measured where it cannot be written, and name what shows it."""
    then = "show them with: attentropy bench --read {}"
    if page is not None and not output.is_standard_output(page):
        then += f" --html {shlex.quote(str(page))}"
    text = results.to_json()
    return on_failure(
        "the results", lambda path: output.write_text(path, text), target or page or Path("bench"),
        ".json", then, saved=saved,
    )  # fmt: skip

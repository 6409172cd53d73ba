"""Pages that are rendered once for all tests, in whichever process these run."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xarray import Dataset

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render


def write_page(folder: Path, trace: Trace, observations: Any = None, **options: Any) -> Path:
    """Return the file of a trace's page in `folder`, rendered unless another test did it.

    The file is named by everything that the page depends on.
    """
    digest = hashlib.blake2b(digest_size=32)
    digest.update(repr((observations, sorted(options.items()))).encode())
    for part in _content(trace):
        digest.update(part)
    path = folder / f"{digest.hexdigest()}.html"
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_text(render(trace, observations or observe(trace), **options), "utf-8")
    return path


def _content(trace: Trace) -> Iterator[bytes]:
    """Yield the bytes of everything that a page shows of a trace, the same in every process."""
    if isinstance(trace, Difference):
        yield repr(trace.names).encode()
        yield from _content(trace.a)
        yield from _content(trace.b)
        return
    group = getattr(trace, "sources", None)
    for dataset in (trace.dataset, *([] if group is None else [group])):
        yield from _arrays(dataset)


def _arrays(dataset: Dataset) -> Iterator[bytes]:
    yield json.dumps(dataset.attrs, sort_keys=True, default=str).encode()
    for name, variable in sorted(dataset.variables.items()):
        values = variable.values
        yield f"{name} {variable.dims} {values.dtype} {values.shape}".encode()
        is_text = values.dtype.kind in "TOU"
        yield (
            repr(values.tolist()).encode("utf-8", "surrogatepass") if is_text else values.tobytes()
        )

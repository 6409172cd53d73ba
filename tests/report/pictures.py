"""Pages without their pictures, for tests that look at the rest."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

from attentropy.engine.trace.dataset import Trace
from attentropy.report.content import read_report
from attentropy.report.figures import heatmap_data as cells
from attentropy.report.page import drawings
from attentropy.report.page.document import Still


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Let pages be written without their pictures, whose values are computed all the same."""
    still = Still("data:,", "data:,", 1, 1)
    with contextlib.ExitStack() as stack:
        for module, name, replacement in (
            (read_report, "opening_charts", _sketched),
            (drawings, "_specification", lambda _: ""),
            (drawings, "draw_still", lambda _: still),
        ):
            stack.enter_context(mock.patch.object(module, name, replacement))
        yield


def _sketched(
    trace: Trace, shown: Any, attention: Any, rows: Any, sizes: Any, placed: Any, opened: Any,
    is_long: bool, hidden: Any = None,
) -> dict[str, Any]:  # fmt: skip
    """Compute the values of the figure without drawing them."""
    for name, size in sizes.items():
        data = cells.datasets(trace, size, placed[name], opened, rows, hidden=hidden)
        json.dumps(data, allow_nan=False)
        json.dumps(cells.state(trace, size, placed[name], opened), allow_nan=False)
    return {"figure": {"wide": {}, "narrow": {}}}

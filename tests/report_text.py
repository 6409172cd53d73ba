"""All text of a page: its document, its pictures, and its decompressed values."""

from __future__ import annotations

import base64
import re
import zlib

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render


def everything(trace: Trace) -> str:
    """Return all text of the page of a trace."""
    return page_text(render(trace, observe(trace)))


def page_text(page: str) -> str:
    """Return all text of a page, with its pictures and values decoded."""
    parts = [page]
    for coded in re.findall(r"svg\+xml;base64,([^\"]+)", page):
        parts.append(base64.b64decode(coded).decode())
    for coded in re.findall(r'"([A-Za-z0-9+/]{16,}={0,2})"', page):
        try:
            data = zlib.decompress(base64.b64decode(coded))
        except (ValueError, zlib.error):
            continue
        parts.append(data.decode("utf-8", "replace"))
        parts.append(" ".join(map(str, np.frombuffer(data[: len(data) // 4 * 4], "<i4"))))
    return "\n".join(parts)

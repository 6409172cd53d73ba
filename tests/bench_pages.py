"""The page of a benchmark whose times are made up."""

from __future__ import annotations

from pathlib import Path

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench.results_page import render


def save_bench_page(folder: Path, rival: str) -> Path:
    """Write a page of two cases, each measured for our kernel and for a rival of this name."""
    cases = tuple(AttentionCase(n, 8, 8, 64, True, "float32", "cpu") for n in (1024, 4096))
    rows = tuple(
        Row(i, name, group, case.flops, (0.1 * i + 0.1, 0.1 * i + 0.2, 0.1 * i + 0.3), 5)
        for i, case in enumerate(cases)
        for name, group in (("ours, entropy", "ours"), (rival, "ceiling"))
    )
    results = Results(
        "attention", "attentropy bench", "ours, entropy", {"device": "a machine"},
        {"flops_per_second": 1e11}, cases, rows,
    )  # fmt: skip
    path = folder / "bench.html"
    path.write_text(render([results]), "utf-8")
    return path

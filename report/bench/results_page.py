"""The page of benchmark results: still pictures, tables and provenance, without any script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from attentropy import __version__
from attentropy.engine.bench.results import Results
from attentropy.report.bench import summary
from attentropy.report.bench.results_charts import MIDDLE, NARROW, WIDE, charts
from attentropy.report.bench.series import baseline
from attentropy.report.bench.verdict import verdict
from attentropy.report.page.document import draw_still, security_policy, style_text, templates
from attentropy.report.text import for_sentence

TemplateVariables = dict[str, Any]
"""Values for the page's template by name."""


def render(runs: Sequence[Results]) -> str:
    """Return the page of one or more results; same results and version give the same bytes."""
    style = style_text()
    runs = [_without_control_characters(results) for results in runs]
    settings = [
        _setting(results, name, cases)
        for results in runs
        for name, cases in results.settings().items()
    ]
    devices = dict.fromkeys(results.machine.get("device", "unknown") for results in runs)
    context = {
        "policy": security_policy(style),
        "style": Markup(style),  # our own file: nothing in it comes from the results
        "version": __version__,
        "devices": ", ".join(devices),
        "verdict": verdict(runs),
        "settings": settings,
        "note": summary.NOTE,
        "provenance": [_provenance(results) for results in runs],
    }
    return templates().get_template("bench.html.j2").render(context) + "\n"


def _without_control_characters(results: Results) -> Results:
    """Return `results` with marks for control characters, in every text from outside."""
    rows = tuple(
        replace(row, rival=for_sentence(row.rival), reason=for_sentence(row.reason, 400))
        for row in results.rows
    )
    machine = {
        for_sentence(name): for_sentence(value, 400) for name, value in results.machine.items()
    }
    return replace(
        results, rows=rows, machine=machine, ours=for_sentence(results.ours),
        what=for_sentence(results.what),
        command=for_sentence(results.command, 400),
    )  # fmt: skip


def _setting(results: Results, name: str, cases: list[int]) -> TemplateVariables:
    """Return the template's variables for one setting; no figure if nothing was timed."""
    rows = [row for case in cases for row in results.of(case)]
    figure = None
    if any(row.seconds for row in rows):
        figure = {
            name: [draw_still(chart).light for chart in charts(results, cases, layout)]
            for name, layout in (("wide", WIDE), ("middle", MIDDLE), ("narrow", NARROW))
        }
    return {
        "name": for_sentence(f"{results.what.capitalize()}: {name}"),
        "figure": figure,
        "lines": len(cases) > 1,
        "baseline": for_sentence(baseline(results, cases)),
        "findings": summary.findings(results, cases),
        "columns": summary.columns(results)[1:],
        "tables": [_table(results, case) for case in cases],
        "untimed": [
            {"reason": reason, "rivals": "; ".join(rivals)}
            for reason, rivals in summary.untimed(rows).items()
        ],
    }


def _table(results: Results, case: int) -> TemplateVariables:
    """Return the template's variables for the timed rows of one case."""
    timed_rows = [row for row in results.of(case) if row.seconds]
    ours = summary.reference(timed_rows, results.ours)
    shape = results.cases[case]
    return {
        "size": f"{shape.size:,} {shape.unit}",
        "rows": [summary.cells(results, row, ours) for row in timed_rows],
    }


def _provenance(results: Results) -> list[tuple[str, str]]:
    unit, factor = summary.rate_unit(results)
    rates = {"matmul peak": f"{results.ceilings['flops_per_second'] / factor:,.4g} {unit}"}
    if "bytes_per_second" in results.ceilings:
        rates["memory copy"] = (
            f"{results.ceilings['bytes_per_second'] / 1e9:,.4g} GB/s (read + write)"
        )
    return list({"command": results.command, **results.machine, **rates}.items())

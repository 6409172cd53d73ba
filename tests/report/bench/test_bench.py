"""Benchmark results become a page and sentences with every number and no unescaped text."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from attentropy.engine.bench.case import AttentionCase, VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench import summary
from attentropy.report.bench.results_charts import NARROW, WIDE, charts
from attentropy.report.bench.results_page import render

HOSTILE = ["</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'\"><b>"]
OURS = "ours, entropy"


def results(name="flash", device="a machine"):
    """Return results of two sizes: ours takes 2 and 8 ms, each other rival a fixed multiple."""
    cases = tuple(AttentionCase(n, 8, 2, 64, True, "bfloat16", "cuda") for n in (1024, 2048))
    rows = []
    for i, case in enumerate(cases):
        ms = 2e-3 * 4**i
        for rival, group, factor, more in (
            (OURS, "ours", 1, {"errors": {"out": 1e-3, "entropy": 2e-6}}),
            ("ours, all off", "ours", 0.96, {"errors": {"out": 1e-3}}),
            (name, "ceiling", 0.9, {"errors": {"out": 1e-3}}),
            ("flash twice, V := K", "twice", 1.75,
             {"errors": {"out": 1e-3, "entropy": 0.5}, "wrong": ("entropy",)}),
            ("attention_received", "second", 0.55, {"errors": {"received": 1e-6}}),
        ):  # fmt: skip
            times = tuple(ms * factor * t for t in (0.9, 1, 1.2))
            rows.append(Row(i, rival, group, case.flops, times, 9, 3_000_000, **more))
        rows.append(Row(i, "eager", "eager", case.flops, reason=f"MemoryError: {name}"))
    return Results(
        "attention", f"attentropy bench --rival {name}", OURS, {"device": device, name: device},
        {"flops_per_second": 9e14, "bytes_per_second": 4e12}, cases, tuple(rows),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page():
    return render([results()])


def test_the_findings_are_ratios_at_the_largest_size():
    findings = summary.findings(results(), [0, 1])
    assert findings[0].startswith("2,048 tokens: attentropy (entropy) takes 8 ms (")
    assert "entropy error at most 2.0e-06 nats" in findings[0]
    assert findings[1:] == [
        "With entropy it takes 1.04× the time of the same kernel without statistics.",
        "0.90× the speed of the fastest kernel without entropy (flash, 7.2 ms).",
        "1.75× the speed of the fastest fused kernel called twice "
        "(flash twice, V := K, 14 ms, entropy outside tolerance).",
        "attention_received takes 0.55× the time of one pass with entropy.",
    ]


def test_nothing_is_compared_to_ours_where_ours_was_not_timed():
    benchmark = results()
    rows = tuple(
        replace(row, seconds=(), reason="wrong: entropy is off by 1") if row.rival == OURS else row
        for row in benchmark.rows
    )
    benchmark = replace(benchmark, rows=rows)
    assert summary.findings(benchmark, [0, 1]) == ["attentropy was not timed here."]
    timed = next(row for row in benchmark.rows if row.seconds)
    assert summary.cells(benchmark, timed, None)[3] == "–"
    assert next(iter(summary.untimed(benchmark.rows))) == "wrong: entropy is off by 1"


def test_every_timed_row_stands_in_the_table_and_every_other_with_its_reason(page):
    body = re.findall(r"<tr><th scope=\"row\"><bdi>([^<]+)</bdi></th><td class", page)
    assert body == [row.rival for row in results().rows if row.seconds]
    assert page.count('<td class="number"><bdi>8.00</bdi>') == 1
    assert "5.0e-01 (!)" in page
    assert "<bdi>eager</bdi>: <bdi>MemoryError: flash</bdi>" in page


def test_rates_are_work_over_time_and_the_figure_holds_them():
    spec, dark = charts(results(), [0, 1], WIDE)
    records = spec["datasets"]["rows"]
    assert len(records) == sum(bool(row.seconds) for row in results().rows)
    first = records[0]
    assert first["ms"] == pytest.approx(2)
    assert first["rate"] == pytest.approx(4 * 8 * 64 * 1024**2 / 2 / 2e-3 / 1e12)
    assert first["rate_low"] < first["rate"] < first["rate_high"]
    assert spec["config"]["background"] != dark["config"]["background"]
    assert "vconcat" in charts(results(), [0, 1], NARROW)[0]


def test_the_policy_allows_one_style_and_no_script(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src &#39;none&#39;; style-src &#39;sha256-")
    assert "script-src" not in policy
    assert "<script" not in page
    assert not re.search(r"\son\w+=|\sstyle=", page)
    assert not re.search(r"""(?:src|href|srcset)=["'](?!data:|#)""", page)


def test_hostile_text_stands_escaped_in_every_place():
    benchmark = results("".join(HOSTILE), "".join(HOSTILE))
    page = render([benchmark])
    assert "<script" not in page
    for text in HOSTILE:
        assert text not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 8


@pytest.mark.usefixtures("converted_again")
def test_the_same_results_give_the_same_bytes(page):
    assert page == render([results()])


def test_one_size_is_drawn_as_bars():
    case = VocabularyCase(32, 8, 100, "float32", "cpu")
    row = Row(0, "ours, top 5 and target", "ours", case.flops, (1.0, 1.0, 1.0), 3, 640)
    benchmark = Results(
        "vocabulary", "attentropy bench", row.rival, {}, {"flops_per_second": 1e11}, (case,), (row,)
    )
    assert "'type': 'bar'" in str(charts(benchmark, [0], WIDE)[0])
    assert summary.findings(benchmark, [0])[-1].startswith("Its extra memory is 5 % of")
    assert summary.rate_unit(benchmark)[0] == "GFLOP/s"
    assert list(benchmark.settings()) == ["8 numbers to 100 tokens, float32 on cpu"]


def test_reading_results_needs_no_torch():
    code = "import sys, attentropy.report.bench.results_page, attentropy.report.bench.terminal\n"
    done = subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"])
    assert done.returncode == 0

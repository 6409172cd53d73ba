"""Benchmark results become a page and sentences with every number and no unescaped text."""

import itertools
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from attentropy.engine.bench.case import AttentionCase, VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report import vega
from attentropy.report.bench import summary
from attentropy.report.bench.results_charts import MIDDLE, NARROW, WIDE, charts
from attentropy.report.bench.results_page import render
from attentropy.report.bench.series import LABEL_HEIGHT, rate_axis, ratio_axis, spread_places
from attentropy.report.bench.verdict import verdict

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
        "It takes 1.11× the time of the fastest kernel without entropy (flash, 7.2 ms).",
        "It takes 0.57× the time of the fastest fused kernel called twice "
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
    flash = {(r["rival"], r["size"]): r["ratio"] for r in records}
    for size in (1024, 2048):  # the kernel without entropy is 1, on the first chart
        assert flash["flash", size] == pytest.approx(1)
        assert flash[OURS, size] == pytest.approx(1 / 0.9)
    assert [panel["title"] for panel in spec["hconcat"]] == [
        "Time compared with flash", "Rate (TFLOP/s)",
    ]  # fmt: skip
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


def _named(chart):
    return {row["rival"]: row for row in chart["datasets"]["ratio_names"]}


@pytest.mark.parametrize("layout", [WIDE, MIDDLE, NARROW])
def test_each_line_has_a_colour_of_its_own_and_its_name_and_no_name_covers_another(layout):
    benchmark = results()
    chart, dark = charts(benchmark, [0, 1], layout)
    timed = {row.rival for row in benchmark.rows if row.seconds}
    for spec in (chart, dark):
        colours = spec["config"]["range"]["category"]
        assert len(set(colours)) == len(colours) == len(timed)
    for field in ("ratio", "rate"):
        rows = chart["datasets"][f"{field}_names"]
        assert {row["rival"] for row in rows} == timed
        records = chart["datasets"]["rows"]
        values = [r[f"{field}_high"] for r in records]
        axis = (ratio_axis if field == "ratio" else rate_axis)(values, layout.height)
        places = sorted(axis.pixel(row["at"]) for row in rows)
        if field == "ratio":
            assert min(b - a for a, b in itertools.pairwise(places)) >= LABEL_HEIGHT - 1e-6
            assert places[-1] <= layout.height + 1e-6
    assert _named(chart)[OURS]["text"] == "ours, entropy 1.11×"


def test_names_that_lie_together_are_moved_apart_in_their_order():
    assert spread_places([10, 11, 60], 13, 100) == [10, 23, 60]
    moved = spread_places([98, 99, 97, 5], 13, 100)
    assert moved == [87, 100, 74, 5]


def test_ratios_that_lie_far_apart_have_powers_of_two_as_ticks():
    axis = ratio_axis([0.9, 1, 20.0], 300)
    assert axis.is_log
    assert axis.ticks == [0.5, 1, 2, 4, 8, 16]
    for pixel in (0.0, 100.0, 300.0):
        assert axis.pixel(axis.value(pixel)) == pytest.approx(pixel, abs=1e-9)
    assert not ratio_axis([0.9, 1, 2.0], 300).is_log


def test_no_axis_label_is_written_with_an_exponent():
    cases = tuple(AttentionCase(n, 8, 2, 64, True, "bfloat16", "cuda") for n in (1024, 2048))
    for factor in (1e-7, 1.0, 1e5):
        benchmark = results()
        rows = tuple(
            replace(
                row, seconds=tuple(s * (factor if row.group == "twice" else 1) for s in row.seconds)
            )
            for row in benchmark.rows
        )
        for indices in ([0, 1], [1]):
            image = vega.to_svg(
                charts(replace(benchmark, rows=rows, cases=cases), indices, WIDE)[0]
            )
            texts = re.findall(r">([^<>]+)</text>", image)
            assert texts
            assert not [text for text in texts if re.search(r"\de[+-]?\d", text)]


def test_the_headline_is_the_ratio_at_the_largest_size():
    assert verdict([results()]) == (
        "Attention with entropy takes 1.11× the time of flash without entropy at 2k tokens "
        "(a machine)"
    )
    page = render([results()])
    assert re.search(r"<h1><bdi>Attention with entropy takes 1\.11×", page)


def test_the_headline_compares_with_what_was_timed():
    benchmark = results()

    def without(groups, ours=True):
        rows = tuple(
            replace(row, seconds=(), reason="no time was left")
            if row.group in groups or (row.rival == OURS and not ours) else row
            for row in benchmark.rows
        )  # fmt: skip
        return verdict([replace(benchmark, rows=rows)])

    assert "takes 0.57× the time of flash twice, V := K at 2k" in without(("ceiling",))
    assert without((), ours=False) == "Attention with entropy: not compared (a machine)"


def test_several_settings_give_a_range():
    benchmark = results()
    other = replace(benchmark.cases[1], head_size=128)
    factors = {OURS: 2}
    rows = [
        replace(row, case=2, seconds=tuple(s * factors.get(row.rival, 1) for s in row.seconds))
        for row in benchmark.rows
        if row.case == 1
    ]
    both = replace(
        benchmark, cases=(*benchmark.cases, other), rows=(*benchmark.rows, *rows)
    )  # fmt: skip
    assert "takes 1.11 to 2.22× the time of flash" in verdict([both])

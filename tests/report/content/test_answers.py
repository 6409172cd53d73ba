"""A page shows the answer after the prompt, and what is said of the prompt stays the same."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from answers import ANSWER, answered, prompt_of, written
from attentropy.engine.trace.dataset import Trace
from attentropy.report.commands.info_text import describe_lines
from attentropy.report.commands.output import answer_facts, say_answer
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.figures.heatmap_data import state
from attentropy.report.figures.placement import place
from attentropy.report.figures.sizes import wide
from attentropy.report.findings.observations import observe
from attentropy.report.page.page import render
from attentropy.report.read.views import read_view

STORED = Path(__file__).parents[2] / "engine" / "trace" / "stored" / "version3.zarr.zip"


def test_findings_are_those_of_the_prompt():
    trace = answered()
    of_answer = ("looked", "sure", "settled")  # these are about the answer's own row
    findings, alone = (
        [one for one in observe(of) if one.id not in of_answer] for of in (trace, prompt_of(trace))
    )
    for finding, wanted in zip(findings, alone, strict=True):
        assert finding.text.replace("the prompt's last", "the last") == wanted.text
        assert (finding.value, finding.n, finding.position) == (
            wanted.value,
            wanted.n,
            wanted.position,
        )


def test_curves_and_map_are_those_of_the_prompt():
    trace = answered()
    report, wanted = (read_report(t, observe(t)) for t in (trace, prompt_of(trace)))
    for name in ("lens", "attention"):
        for curve, own in wanted.sections[name].curves.items():
            np.testing.assert_array_equal(report.sections[name].curves[curve].mean, own.mean)
    assert (report.axes.positions, report.axes.prompt) == (20, 17)
    assert "map" not in report.charts  # the exact window has the whole prompt


def test_a_line_separates_prompt_and_answer():
    trace = answered()
    placed = place(trace, 12)
    assert state(trace, wide(6), placed, read_view(trace, "lens"))["split"] == 17
    page = render(trace, observe(trace))
    assert "Vertical line: the answer begins (3 generated tokens)." in page
    report = read_report(trace, observe(trace))
    tokens = written(report.words.text)[-3:]
    assert [token.text for token in tokens] == list(ANSWER)
    assert {token.role for token in tokens} == {"generated"}
    assert [one.begins_answer for one in report.words.text.stretches].count(True) == 1
    alone = render(prompt_of(trace), observe(prompt_of(trace)))
    assert "Vertical line" not in alone


@pytest.mark.parametrize(
    ("steps", "columns", "wanted"),
    [(3, 12, (8, 20)), (200, 12, (9, 21)), (200, 60, (0, 60))],
)
def test_the_section_opens_where_the_answer_begins(steps, columns, wanted):
    placed = place(answered(tuple(f" w{i}" for i in range(steps)), window=False), columns)
    assert (placed.start, placed.stop) == wanted
    assert placed.start <= placed.column < 17


def test_the_table_of_the_answer_counts_ranks_from_one():
    report = read_report(answered(), [])
    table = report.sections["answer"].tables["answer"]
    assert [row[:2] for row in table.rows] == [["17", "Can"], ["18", "berra"], ["19", "<|eot_id|>"]]
    assert [row[3] for row in table.rows] == ["1", "2", "3"]
    assert table.rows[0][2] == f"{np.exp(-0.1):.4g}"


def test_prompts_are_aligned_with_prompts_and_answers_with_answers():
    a = answered((" is", " of", "x"))
    b = answered(("x", " capital", " is"), seed=1)
    difference = compare(a, b)
    assert difference.prompt_tokens == 17
    assert difference.compared.sum() == 17
    for at_a, at_b in zip(difference.at_a, difference.at_b, strict=True):
        if min(at_a, at_b) >= 0:
            assert (at_a < 17) == (at_b < 17)
            assert a.tokens[at_a] == b.tokens[at_b]
    assert difference.dataset["role"].values.tolist()[17:] == ["generated"] * (
        difference.kind.size - 17
    )
    place(difference, 12)
    render(difference, observe(difference))


def test_long_answers_that_differ_do_not_stop_a_comparison():
    a, b = (
        answered(tuple(f" {name}{i}" for i in range(60)), seed=seed, window=False)
        for seed, name in enumerate("ab")
    )
    assert compare(a, b).both.sum() == 17


def test_a_comparison_with_answers_is_saved_and_opened(tmp_path):
    difference = compare(answered(), answered(("Can", "ada", "<|eot_id|>"), seed=1))
    opened = type(difference).open(difference.save(tmp_path / "d.zarr"))
    np.testing.assert_array_equal(opened.at_a, difference.at_a)
    assert opened.prompt_tokens == difference.prompt_tokens == 17


def test_a_trace_of_version_3_opens_and_is_drawn():
    trace = Trace.open(STORED)
    assert trace.attrs["format_version"] == 3
    assert trace.prompt_tokens == len(trace.tokens) == 17
    assert trace.attrs["answer"] == "Tokyo"
    page = render(trace, observe(trace))
    assert re.search(r'<h1><bdi class="said">“<em [^>]*>Tokyo</em>”</bdi>', page)
    assert "Vertical line" not in page
    facts = json.loads(page.split('id="report">')[1].split("</script>")[0])
    assert (facts["n"], facts["prompt"]) == (17, 17)


def _chat(answer, is_chat=True, **attrs):
    trace = answered(answer)
    prompt = trace.attrs["prompt"] | {"chat": is_chat}
    return Trace(trace.dataset.assign_attrs(prompt=prompt, answer="".join(answer).strip(), **attrs))


def test_an_arabic_answer_is_isolated_wherever_it_is_shown(capsys):
    trace = _chat(("القاهرة", "."), answer_is_cut=True)
    say_answer(trace, Path("page.html"))
    assert capsys.readouterr().out.startswith("Answer: \u2068القاهرة.\u2069 … (the first 2 tokens")
    assert "answer \u2068'القاهرة.'\u2069…" in repr(trace)
    assert '<bdi class="said">“<em title' in render(trace, [])
    (finding,) = (one for one in observe(compare(trace, trace)) if one.id == "answer")
    assert "“\u2068القاهرة.…\u2069”" in finding.text


def test_a_text_without_a_template_is_continued_everywhere(capsys):
    trace = _chat((" Perth", "."), is_chat=False)
    say_answer(trace, Path("page.html"))
    assert capsys.readouterr().out == "Continues with: Perth.\n"
    assert dict(answer_facts(trace)) == {"answer": "Perth.", "chat": False}
    assert next(describe_lines(answer_facts(trace))).split("  ") == ["continues with", "Perth."]
    page = render(trace, observe(trace))
    assert '<span class="lead">Continues with</span>' in page
    assert '<span class="off">Continuation </span>' in page
    other = _chat((" Rome", "."), is_chat=False)
    difference = compare(trace, other)
    texts = {one.id: one.text for one in observe(difference)}
    assert texts["answer"] == "The continuations differ: “Perth.” in A, “Rome.” in B."
    assert "continues with: <b><bdi>Perth.</bdi></b>" in render(difference, [])


def test_the_answer_has_a_probability_at_each_word():
    trace = _chat(("Can", "berra", "<|eot_id|>"))
    trace.dataset["generated_logprob"].values[:] = np.log([0.5, 1e-5, 0.004])
    page = render(trace, [])
    assert re.findall(r'data-p="([^"]+)"', page) == ["&lt; 0.001", "0.004"]
    decisive = re.search(r'<ruby class="w decisive">(.*?)<rt data-p="([^"]+)">', page, re.S)
    assert re.sub("<[^>]*>", "", decisive[1]) == "Canberra"
    assert decisive[2] == "&lt; 0.001"


def test_a_hostile_answer_and_model_are_texts_in_the_headline():
    trace = _chat(("</h1><script>x</script>", " & Perth"))
    trace.dataset.attrs["model"]["name"] = "<img onerror=x>"
    page = render(trace, [])
    assert "<script>x" not in page
    assert "<img onerror" not in page
    assert "h1&gt;&lt;script&gt;" in page[page.index("<h1") : page.index("</h1>")]

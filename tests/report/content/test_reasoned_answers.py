"""Reasoning stands apart from the answer that it precedes: in texts, findings and figures."""

import json
import re
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import attentropy
from answers import REASONED, REASONED_ROLES, answered, prompt_of, reasoned, written
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.commands.output import answer_facts, say_answer
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.figures.sizes import STRIP
from attentropy.report.figures.spread import WIDE, first_spread
from attentropy.report.findings.observations import observe
from attentropy.report.page.document import draw_still
from attentropy.report.page.page import render
from attentropy.report.palette import DARK, LIGHT
from attentropy.report.planes import read_attention
from attentropy.report.read.reasoning import reasoning_end


def test_reasoning_is_apart_from_the_answer_on_the_page():
    trace = reasoned()
    page, report = render(trace, []), read_report(trace, [])
    words = report.words
    tokens = written(words.text)[-6:]
    assert "".join(token.text for token in tokens) == "".join(REASONED).replace(" ", "")
    assert [token.role for token in tokens] == REASONED_ROLES
    kinds = [(one.kind, one.label) for one in words.text.stretches[-4:]]
    assert kinds[0] == ("chip", "reasoning · 2")
    assert kinds[1] == ("chip", "think")
    assert [kind for kind, _ in kinds[2:]] == ["words", "chip"]
    assert " · 17 + 6 tokens, 2 of them reasoning · " in words.subtitle
    assert page.index('<span class="off">Answer </span>') < page.index("reasoning · 2")
    assert "Italic: reasoning." in page
    assert (
        "Vertical line: the answer begins (6 generated tokens, 2 of them reasoning). "
        "Dashed line: its reasoning ends."
    ) in page
    table = report.sections["answer"].tables["answer"]
    assert [row[2] for row in table.rows] == ["reasoning"] * 3 + ["answer"] * 3
    plain = render(answered(), [])
    assert "reasoning · " not in plain
    assert "Italic" not in plain


def test_findings_are_those_of_the_prompt_before_an_answer_with_reasoning():
    trace = reasoned()
    assert trace.dummy_positions().tolist() == prompt_of(trace).dummy_positions().tolist()
    texts, alone = (
        [
            finding.text
            for finding in observe(one)
            if finding.id not in ("looked", "sure", "settled")
        ]
        for one in (trace, prompt_of(trace))
    )
    assert texts == alone


def test_an_answer_that_ends_within_its_reasoning_says_so(capsys):
    trace = answered((" Hm", "."), answer_roles=["reasoning"] * 2)
    attrs = {"answer": "", "reasoning": "Hm.", "options": {"max_new_tokens": 2}}
    trace = Trace(trace.dataset.drop_vars("rehearsal").assign_attrs(attrs))
    page = render(trace, [])
    assert "the answer begins (2 generated tokens, 2 of them reasoning)." in page
    assert "Dashed line" not in page
    say_answer(trace, Path("page.html"))
    assert capsys.readouterr().out == (
        "Reasoning: Hm. … (the first 2 tokens; see --max-new-tokens)\n"
    )
    measured = answered((" Hm", "."), answer_roles=["reasoning"] * 2).dataset
    missing = {"rehearsal": measured["rehearsal"] * np.nan}
    (finding,) = (
        finding
        for finding in observe(Trace(measured.assign(missing).assign_attrs(attrs)))
        if finding.id == "rehearsal"
    )
    assert finding.text == (
        "Rehearsal was not measured: the answer ends within its reasoning, which is not looked for."
    )


@pytest.mark.parametrize(
    ("of_a", "of_b", "wanted"),
    [
        (("Canberra", "Hm."), ("Canberra", "Well."),
         "The answer is the same in A and B, “Canberra”, but its reasoning differs."),
        (("Canberra", "Hm."), ("", "Well."),
         "The answers differ: “Canberra” in A, reasoning that is cut in B."),
        (("", "Hm."), ("", "Well."), "Both answers are cut within their reasoning, which differs."),
        (("Canberra", None), ("Perth", None), "The answers differ: “Canberra” in A, “Perth” in B."),
    ],
)  # fmt: skip
def test_compared_answers_are_named_without_their_reasoning(of_a, of_b, wanted):
    other = (" Well", *REASONED[1:])
    traces = [
        Trace(answered(answer, answer_roles=REASONED_ROLES, seed=seed).dataset.assign_attrs(
            {"answer": text} | ({"reasoning": reasoning} if reasoning else {})
        ))
        for seed, (answer, (text, reasoning)) in enumerate(((REASONED, of_a), (other, of_b)))
    ]  # fmt: skip
    (finding,) = (one for one in observe(compare(*traces)) if one.id == "answer")
    assert finding.text == wanted


def test_long_reasoning_is_printed_in_part_and_facts_have_all(capsys):
    attrs = {"reasoning": "Hm, " * 100}
    trace = Trace(reasoned().dataset.assign_attrs(attrs))
    say_answer(trace, Path("page.html"))
    assert capsys.readouterr().out == f"Reasoning: {('Hm, ' * 50).strip()} …\nAnswer: Canberra\n"
    assert dict(answer_facts(trace)) == {"answer": "Canberra", **attrs}
    assert dict(answer_facts(answered())) == {"answer": "Canberra"}


def test_where_another_prompt_follows_nothing_is_called_reasoning_but_its_tokens():
    roles = ["generated", "content", "reasoning", "reasoning", "generated", "generated"]
    trace = answered(REASONED, answer_roles=roles)
    assert reasoning_end(trace) == 17
    assert reasoning_end(reasoned()) == 20
    assert reasoning_end(redact(reasoned())) == 19


@pytest.mark.parametrize("make", [answered, reasoned])
def test_every_chart_of_positions_has_the_lines_of_the_answer(make):
    trace = make()
    ends = {"split": 17, "reasoned": reasoning_end(trace)}
    charts = read_report(trace, []).charts
    attention = read_attention(trace)
    drawn = [*charts["figure"].values(), first_spread(trace, attention, 0, WIDE, 3.0)]
    for chart in drawn:
        values = {one["name"]: one.get("value") for one in chart["params"]}
        assert {name: values[name] for name in ends} == ends
        lines = json.dumps(chart)
        assert "split > 0 && split < n" in lines
        assert "reasoned > split && reasoned < n" in lines


def test_entropy_by_position_has_the_lines_on_a_light_and_on_a_dark_page():
    trace = reasoned()
    chart = first_spread(trace, read_attention(trace), 0, WIDE, 3.0)
    still = draw_still(chart)
    for address, theme in ((still.light, LIGHT), (still.dark, DARK)):
        picture = unquote(address.partition(",")[2])
        if ";base64" in address:
            picture = b64decode(address.partition(",")[2]).decode()
        line = r'<line transform="translate\(([\d.]+),-4\)[^>]*stroke="{}" stroke-width="{}"'
        for color, width in ((theme["paper"], 5), (theme["ink"], 2)):
            at = [float(x) for x in re.findall(line.format(color, width), picture)]
            assert at == pytest.approx([17 / 23 * WIDE[0], 20 / 23 * WIDE[0]], abs=0.01)


def test_the_lines_of_an_answer_stand_free_where_it_begins_and_its_reasoning_ends():
    picture = attentropy.export(reasoned(), "lens", section="8:23").data.decode()
    ink, blue = LIGHT["ink"], LIGHT["blue"]
    tops = f"(?:-{STRIP}|-6)"  # the line of the answer begins in the strip above the section
    lines = re.findall(rf'translate\(([\d.]+),{tops}\)"[^>]*stroke="{ink}"([^>]*)', picture)
    assert len(lines) == 2
    (first, solid), (second, dashed) = ((float(x), rest) for x, rest in lines)
    assert "dasharray" in dashed
    assert "dasharray" not in solid
    assert second / first == pytest.approx((20 - 8) / (17 - 8), abs=1e-3)
    start, width = map(float, re.search(rf'"M([\d.]+),0h([\d.]+)[^>]*"{blue}"', picture).groups())
    assert first - 6 < start + width < first - 2  # the box of the prompt's last tokens

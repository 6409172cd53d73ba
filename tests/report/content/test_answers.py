"""A page shows the answer after the prompt, and what is said of the prompt stays the same."""

import json
import re
from base64 import b64decode
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

import attentropy
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.commands.info_text import describe_lines
from attentropy.report.commands.output import answer_facts, say_answer
from attentropy.report.compare.difference import compare
from attentropy.report.content.read_report import read_report
from attentropy.report.figures.heatmap_data import state
from attentropy.report.figures.placement import place
from attentropy.report.figures.sizes import wide
from attentropy.report.figures.spread import WIDE, first_spread
from attentropy.report.findings.observations import observe
from attentropy.report.page.document import draw_still
from attentropy.report.page.page import render
from attentropy.report.palette import DARK, LIGHT
from attentropy.report.planes import read_attention
from attentropy.report.read.reasoning import reasoning_end
from attentropy.report.read.views import read_view
from traces import CHAT, chat_roles, synthetic

STORED = Path(__file__).parents[2] / "engine" / "trace" / "stored" / "version3.zarr.zip"
ANSWER = ("Can", "berra", "<|eot_id|>")
_IDS: dict[str, int] = {}  # of texts, in all traces of this module


REASONED = (" Hm", ".", "</think>", "Can", "berra", "<|eot_id|>")
_REASONED_ROLES = ["reasoning"] * 2 + ["generated"] * 4


def answered(answer=ANSWER, seed=0, answer_roles=None, **options):
    """Return a synthetic trace of a prompt and its answer."""
    roles = chat_roles(CHAT) + (answer_roles or ["generated"] * len(answer))
    data = synthetic((*CHAT, *answer), roles, generated=answer, seed=seed, **options).dataset
    n, steps = len(CHAT), len(answer)
    keep = {"window_query": slice(n), "window_key": slice(n)}
    data = data.isel({dim: part for dim, part in keep.items() if dim in data.sizes})
    values = np.linspace(0.1, 2, steps).astype(np.float32)
    ids = [_IDS.setdefault(text, len(_IDS)) for text in (*CHAT, *answer)]
    data = data.assign_coords(token_ids=("position", np.array(ids, np.int32)))
    data = data.assign(
        generated_rank=("step", np.arange(steps, dtype=np.int32)),
        generated_entropy=("step", values),
    )
    return Trace(data.assign_attrs(prompt={"sha256": "2" * 64, "tokens": n, "chat": True}))


def reasoned():
    """Return a synthetic trace of a prompt and an answer that begins with reasoning."""
    trace = answered(REASONED, answer_roles=_REASONED_ROLES)
    return Trace(trace.dataset.assign_attrs(answer="Canberra", reasoning="Hm."))


def prompt_of(trace):
    """Return the trace without its answer's positions."""
    n = trace.prompt_tokens
    return Trace(trace.dataset.isel(query=slice(n), position=slice(n)))


def test_findings_are_those_of_the_prompt():
    trace = answered()
    for finding, wanted in zip(observe(trace), observe(prompt_of(trace)), strict=True):
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
    assert [token.text for token in report.words.generated.first] == list(ANSWER)
    assert {token.role for token in report.words.generated.first} == {"generated"}
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


def test_reasoning_is_apart_from_the_answer_on_the_page():
    trace = reasoned()
    page, report = render(trace, []), read_report(trace, [])
    words = report.words
    assert [token.text for token in words.reasoning.first] == list(REASONED[:3])
    assert [token.text for token in words.generated.first] == list(REASONED[3:])
    assert [token.role for token in words.reasoning.first] == _REASONED_ROLES[:3]
    assert "17 tokens and 6 of the answer, 2 of them reasoning, 6 layers" in words.subtitle
    assert page.index('<h2 class="generated">Reasoning</h2>') < page.index(">Answer</h2>")
    assert "Italic: reasoning." in page
    assert (
        "Vertical line: the answer begins (6 generated tokens, 2 of them reasoning). "
        "Dashed line: its reasoning ends."
    ) in page
    table = report.sections["answer"].tables["answer"]
    assert [row[2] for row in table.rows] == ["reasoning"] * 3 + ["answer"] * 3
    plain = render(answered(), [])
    assert "Reasoning</h2>" not in plain
    assert "Italic" not in plain


def test_findings_are_those_of_the_prompt_before_an_answer_with_reasoning():
    trace = reasoned()
    assert trace.dummy_positions().tolist() == prompt_of(trace).dummy_positions().tolist()
    texts, alone = (
        [finding.text for finding in observe(one) if finding.id != "settled"]
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
        Trace(answered(answer, answer_roles=_REASONED_ROLES, seed=seed).dataset.assign_attrs(
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
    lines = re.findall(rf'translate\(([\d.]+),-6\)"[^>]*stroke="{ink}"([^>]*)', picture)
    assert len(lines) == 2
    (first, solid), (second, dashed) = ((float(x), rest) for x, rest in lines)
    assert "dasharray" in dashed
    assert "dasharray" not in solid
    assert second / first == pytest.approx((20 - 8) / (17 - 8), abs=1e-3)
    start, width = map(float, re.search(rf'"M([\d.]+),0h([\d.]+)[^>]*"{blue}"', picture).groups())
    assert first - 6 < start + width < first - 2  # the box of the prompt's last tokens


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
    assert re.search(r'answers</span> <bdi class="said">“<em [^>]*>Tokyo</em>”</bdi>', page)
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
    assert '<span class="lead">synthetic continues with</span>' in page
    assert '<h2 class="generated">Continuation</h2>' in page
    other = _chat((" Rome", "."), is_chat=False)
    difference = compare(trace, other)
    texts = {one.id: one.text for one in observe(difference)}
    assert texts["answer"] == "The continuations differ: “Perth.” in A, “Rome.” in B."
    assert "continues with: <b><bdi>Perth.</bdi></b>" in render(difference, [])


def test_the_answer_has_a_probability_at_each_token():
    trace = _chat(("Can", "berra", "<|eot_id|>"))
    trace.dataset["generated_logprob"].values[:] = np.log([0.5, 1e-5, 0.004])
    page = render(trace, [])
    assert re.findall(r'data-p="([^"]+)"', page) == ["0.50", "&lt; 0.001", "0.004"]


def test_a_hostile_answer_and_model_are_texts_in_the_headline():
    trace = _chat(("</h1><script>x</script>", " & Perth"))
    trace.dataset.attrs["model"]["name"] = "<img onerror=x>"
    page = render(trace, [])
    assert "<script>x" not in page
    assert "<img onerror" not in page
    assert "h1&gt;&lt;script&gt;" in page[page.index("<h1") : page.index("</h1>")]

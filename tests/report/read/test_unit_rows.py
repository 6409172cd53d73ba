"""What the page says of messages and segments is what their tokens say, in float64."""

import numpy as np
import pytest

import traces
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report import planes
from attentropy.report.content.tables import of_units
from attentropy.report.content.token_words import token_words
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.read.unit_rows import ANSWER, REST, SINKS, unit_rows

TOKENS = [*traces.CHAT, "Can", "berra", "."]
PROMPT = len(traces.CHAT)
NUMBERS = [-1] * 5 + [0] * 3 + [2] * 4 + [-1] * 5 + [-1] * 3
PARTS = {"message 0": range(5, 8), "message 2": range(8, 12), ANSWER: range(PROMPT, len(TOKENS))}
PARTS[REST] = [i for i in range(PROMPT) if not any(i in part for part in PARTS.values())]


@pytest.fixture(scope="module")
def trace():
    """Return a trace of two messages, with an answer and what it attends to."""
    roles = [*traces.chat_roles(traces.CHAT), *["generated"] * 3]
    own = traces.synthetic(TOKENS, roles)
    weights = own["window"][:, :, PROMPT:].mean(-2)
    logprob = -np.linspace(0.1, 4, len(TOKENS), dtype=np.float32)
    logprob[0] = np.nan
    dataset = own.dataset.assign(
        answer_attention=(("layer", "answer_head", "position"), weights),
        token_logprob=("query", logprob),
    ).assign_coords(
        answer_head=np.arange(weights.shape[1], dtype=np.int32),
        message=("position", np.array(NUMBERS, np.int32)),
    )
    prompt = dict(own.attrs["prompt"]) | {"tokens": PROMPT}
    return Trace(dataset.assign_attrs(prompt=prompt))


def test_each_row_is_the_mean_over_its_tokens(trace):
    (units,) = unit_rows(trace, planes.read_attention(trace))
    assert [row.label for row in units.rows] == ["message 0", "message 2", REST, ANSWER]
    entropy, lens = trace["entropy"].astype(np.float64), trace.lens("lens_entropy")
    for row in units.rows:
        own = list(PARTS[row.label])
        assert row.tokens == len(own)
        surprisal = np.nanmean(-trace["token_logprob"].astype(np.float64)[own])
        assert row.surprisal == pytest.approx(surprisal, rel=1e-12)
        assert row.lens_entropy == pytest.approx(lens[-1, own].mean(), rel=1e-6)
        assert row.entropy == pytest.approx(entropy[..., own].mean(), rel=1e-6)
        mass = trace["answer_attention"].astype(np.float64)[..., own].sum(-1).mean()
        assert row.mass == pytest.approx(mass, rel=1e-12)
    assert sum(row.mass for row in units.rows) == pytest.approx(1, abs=1e-6)
    assert [row.text for row in units.rows][::3] == ["What is the", "Canberra."]


def test_the_curves_are_by_layer_with_their_heads_and_uniform_attention(trace):
    (units,) = unit_rows(trace, planes.read_attention(trace))
    keys = np.arange(PROMPT, len(TOKENS)) + 1
    assert [curve.title for curve in units.curves][:1] == ["message 0: What is the"]
    for curve, row in zip(units.curves, units.rows, strict=True):
        own = trace["answer_attention"].astype(np.float64)[..., list(PARTS[row.label])].sum(-1)
        np.testing.assert_allclose(curve.mean, own.mean(1), rtol=1e-12)
        np.testing.assert_allclose(curve.low, own.min(1), rtol=1e-12)
        np.testing.assert_allclose(curve.high, own.max(1), rtol=1e-12)
        tokens = keys - PROMPT if row.label == ANSWER else row.tokens
        np.testing.assert_allclose(curve.uniform, (tokens / keys).mean(), rtol=1e-12)
        assert curve.top == units.curves[0].top <= 1
        assert curve.high.max() <= curve.top
    assert sum(curve.uniform[0] for curve in units.curves) == pytest.approx(1)


def test_uniform_attention_is_left_out_where_not_all_tokens_are_seen(trace):
    visible = np.minimum(trace["visible"], 9)
    windowed = Trace(trace.dataset.assign(visible=(("layer", "query"), visible)))
    (units,) = unit_rows(windowed, planes.read_attention(windowed))
    assert all(curve.uniform is None for curve in units.curves)


def test_a_single_message_has_no_section_and_a_segment_has_one(trace):
    one = np.where(np.array(NUMBERS) > 0, 0, NUMBERS).astype(np.int32)
    single = Trace(trace.dataset.assign_coords(message=("position", one)))
    assert unit_rows(single, None) == []
    (units,) = unit_rows(single.with_segments({"place": "Australia"}), None)
    assert units.kind == "segment"
    assert all(np.isnan(row.entropy) for row in units.rows)


def test_a_trace_without_an_answer_has_a_table_alone():
    numbers = np.array(NUMBERS[:PROMPT], np.int32)
    trace = traces.synthetic()
    trace = Trace(trace.dataset.assign_coords(message=("position", numbers)))
    (units,) = unit_rows(trace, planes.read_attention(trace))
    assert units.curves == ()
    table = of_units(units)
    assert [column.name for column in table.columns][-1] == "attention entropy (nats)"
    assert [row[0] for row in table.rows] == ["message 0", "message 2", REST]


def test_the_table_is_bounded_and_says_so(trace):
    (units,) = unit_rows(trace, None)
    row = units.rows[0]
    rows = (*[row] * 200, *units.rows[-2:])
    table = of_units(type(units)("message", rows, ()))
    assert len(table.rows) == 128 + 2
    assert table.title.startswith("The first 128 of 200 messages")


@pytest.mark.costly
def test_the_page_has_a_section_with_panels_and_the_open_table(trace):
    hostile = trace.with_segments({"</script><b>": "Australia", "contract": "capital"})
    page = render(hostile, [])
    assert 'href="#section-messages"' in page
    assert 'href="#section-segments"' in page
    section = page[page.index('id="section-messages"') :]
    section = section[: section.index("</section>")]
    assert section.count('<figure class="panel">') == 4
    assert "<details open>" in section
    assert "</script><b>" not in page
    assert "<figcaption>Message 0: What is the</figcaption>" in section
    assert "<figcaption>Contract" not in page  # a name is written as its author wrote it
    assert "<figcaption>contract</figcaption>" in page
    assert "&lt;/script&gt;&lt;b&gt;" in page


def test_a_tokens_tooltip_names_its_word(trace):
    n = len(TOKENS)
    words = token_words(trace, np.arange(n, dtype=np.float64))
    assert words(5) == ""
    assert words(PROMPT) == words(PROMPT + 1)
    total = -float(trace["token_logprob"][PROMPT : PROMPT + 2].sum())
    wanted = f"; word Canberra (2 tokens): surprisal {total:.2f} nats, mean entropy 17.50 nats"
    assert words(PROMPT) == wanted
    hidden = token_words(redact(trace), np.zeros(n))
    assert hidden(PROMPT) == ""


def test_attention_on_sink_keys_stands_apart_from_the_message_around_them(trace):
    at = [0, 9]  # the first key, and " of" in message 2
    flags = np.zeros((trace["layer"].size, len(TOKENS)), np.int8)
    flags[:2, at] = 1
    received = np.zeros((flags.shape[0], 1, len(TOKENS)), np.float32)
    with_sinks = Trace(
        trace.dataset.assign(
            sink_keys=(("layer", "position"), flags),
            received=(("layer", "received_head", "position"), received),
        )
    )
    (units,) = unit_rows(with_sinks, None)
    assert [row.label for row in units.rows] == ["message 0", "message 2", REST, ANSWER, SINKS]
    weights = trace["answer_attention"].astype(np.float64)
    for row in units.rows[:-1]:
        own = list(PARTS[row.label])
        assert row.tokens == len(own)
        without = [i for i in own if i not in at]
        assert row.mass == pytest.approx(weights[..., without].sum(-1).mean(), rel=1e-12)
    assert units.rows[-1].tokens == 2
    assert units.rows[-1].mass == pytest.approx(weights[..., at].sum(-1).mean(), rel=1e-12)
    assert units.curves[-1].title == SINKS
    assert sum(curve.uniform[0] for curve in units.curves) == pytest.approx(1)
    table = of_units(units)
    assert table.title.startswith("The 2 messages and the rest of the text; ")
    assert table.rows[-1][0] == SINKS


def test_a_section_says_which_of_its_rows_have_a_panel(trace, monkeypatch):
    note = "receive most of it"
    assert note not in render(trace, observe(trace))
    monkeypatch.setattr("attentropy.report.read.unit_rows._PANELS", 2)
    page = render(trace, observe(trace))
    assert f"Shown: the 2 of 4 rows of the table that {note}." in page

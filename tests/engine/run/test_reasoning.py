"""Reasoning within a generated answer is told from the answer, and both from the prompt."""

import numpy as np
import pytest
import torch
from transformers import LogitsProcessor

from attentropy.engine.model.load import wrap_loaded
from attentropy.engine.prompt.prepare import prepare
from attentropy.engine.prompt.reasoning import answer_parts, answer_roles
from attentropy.engine.record.record import record
from attentropy.engine.run import decode
from attentropy.engine.run.answer import (
    answer_arrays,
    answer_facts,
    parts_of_answer,
    with_answer,
)
from attentropy.engine.run.extract import extract
from attentropy.engine.run.reader import PromptReader
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.read.perplexity import perplexities
from tiny import TEMPLATE, model, tokenizer
from traces import synthetic

OPENED = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
CLOSED = TEMPLATE.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
# The template, what is generated, its reasoning, and the answer itself.
ANSWERS = {
    "markers": (TEMPLATE, "<think>\nHm.\n</think>\n\nFour, 3.5!", "\nHm.\n", "Four, 3.5!"),
    "opened by the prompt": (OPENED, "Hm é.\n</think>\n\nFour.", "Hm é.\n", "Four."),
    "closed by the prompt": (CLOSED, "Four.", "", "Four."),
    "cut": (OPENED, "Hm, let", "Hm, let", ""),
    "cut after its marker": (TEMPLATE, "<think>", "", ""),
    "none": (TEMPLATE, "Four.", "", "Four."),
    "blank": (TEMPLATE, "<think>\n\n</think>\nFour.", "", "Four."),
    "twice": (TEMPLATE, "<think>a</think>b<think>c</think>d", "ac", "bd"),
    "opened elsewhere": (TEMPLATE, "a.</think>b", "a.", "b"),
    "other markers": (TEMPLATE, "[THINK]a[/THINK]b", "a", "b"),
    "markers of another kind": (TEMPLATE, "<think>a[/THINK]b</think>c", "a[/THINK]b", "c"),
}


@pytest.fixture(scope="module")
def subject():
    return model(num_hidden_layers=2)


def _script(monkeypatch, text):
    """Have `extract` generate the bytes of a text and the end of the turn."""
    ids = [*_ids(text), 257]
    choose = decode.choose

    def scripted(logits, sampling, step):
        token = choose(logits, sampling, step)
        return decode.Token(ids[step], token.logprob, token.rank, token.entropy)

    monkeypatch.setattr(decode, "choose", scripted)
    return ids


def _ids(text):
    return tokenizer()(text, add_special_tokens=False)["input_ids"]


def _extract(subject, template, **options):
    return extract(
        subject, "2+2?", tokenizer=tokenizer(template),
        **{"max_new_tokens": 90, "scores": False, "lens": "none"} | options,
    )  # fmt: skip


def _text(trace, where):
    return "".join(trace.tokens[i] for i in np.flatnonzero(where))


@pytest.mark.parametrize("name", ANSWERS)
def test_the_roles_and_texts_of_an_answer_are_those_between_its_markers(subject, name):
    template, text, reasoning, answer = ANSWERS[name]
    loaded, ids = wrap_loaded(subject, tokenizer(template)), [*_ids(text), 257]
    prompt = prepare(loaded.tokenizer, "2+2?")
    n, whole = len(prompt.ids), with_answer(loaded, prompt, ids)
    assert whole.roles[:n] == prompt.roles
    assert set(whole.roles[n:]) <= {"generated", "reasoning"}
    pairs = [*zip(whole.tokens[n:], whole.roles[n:], strict=True)]
    assert "".join(token for token, role in pairs if role == "reasoning") == reasoning
    parts = parts_of_answer(loaded, whole.ids, whole.tokens, n)
    wanted = {"answer": answer} | ({"reasoning": reasoning.strip()} if reasoning else {})
    assert answer_facts(loaded, ids, parts) == wanted | {"answer_is_cut": False}
    tokens = [decode.Token(token, 0.0, 0, 0.0) for token in ids]
    _, content = answer_arrays(loaded, tokens, parts)["generated_content"]
    own = [token for token, is_content in zip(whole.tokens[n:], content, strict=True) if is_content]
    assert own == [c for c in answer if c.isalnum()]


@pytest.mark.costly
def test_a_trace_tells_prompt_reasoning_and_answer_apart(subject, monkeypatch, tmp_path):
    ids = _script(monkeypatch, "Hm.</think>Four.")
    trace = _extract(subject, OPENED, output=tmp_path / "t.zarr.zip")
    n = trace.prompt_tokens
    assert trace["generated_ids"].tolist() == ids
    assert trace.roles[n:] == ["reasoning"] * 3 + ["generated"] * 14
    assert not {"reasoning", "generated"} & set(trace.roles[:n])
    assert trace.is_generated.tolist() == [False] * n + [True] * 17
    assert (trace.attrs["reasoning"], trace.attrs["answer"]) == ("Hm.", "Four.")


def test_what_is_measured_of_the_prompt_ends_with_it(subject, monkeypatch):
    _script(monkeypatch, "Hm.</think>Four.")
    trace = _extract(subject, OPENED)
    tail = "<|start|>assistant\n<think>\n"
    assert _text(trace, np.isin(np.arange(len(trace.tokens)), trace.dummy_positions())) == (
        "<|end|>" + tail
    )


@pytest.mark.costly
def test_reasoning_is_not_rehearsed(subject, monkeypatch):
    _script(monkeypatch, "Hm abc</think>xyz.")
    trace = _extract(subject, OPENED, lens="residual", scores=False)
    rehearsed = set(trace["rehearsal_ids"].ravel().tolist()) - {-1}
    assert rehearsed
    assert rehearsed <= set(_ids("xyz"))
    _script(monkeypatch, "Hm abc")
    alone = _extract(subject, OPENED, lens="residual", max_new_tokens=6)
    assert np.isnan(alone["rehearsal"]).all()


def test_perplexity_is_taken_over_reasoning_and_answer_apart(subject, monkeypatch):
    _script(monkeypatch, "Hm.</think>Four.")
    trace = _extract(subject, OPENED)
    logprobs, n = trace["token_logprob"].astype(np.float64), trace.prompt_tokens
    wanted = {
        "reasoning": logprobs[n : n + 3], "generated": logprobs[n + 3 :], "prompt": logprobs[1:n],
    }  # fmt: skip
    values = perplexities(trace)
    for name, own in wanted.items():
        assert values[name].tokens == own.size
        assert values[name].value == pytest.approx(np.exp(-own.mean()))


@pytest.mark.costly
def test_a_run_that_stops_within_its_reasoning_knows_it(subject, monkeypatch, tmp_path):
    text = "Hm, " * 8 + "\n</think>\nFour."
    _script(monkeypatch, text)
    wanted = _extract(subject, OPENED, chunk=16)
    read, n = PromptReader._run_pass, wanted.prompt_tokens

    def stops(self, start, *rest):
        if start >= n + 32:
            raise KeyboardInterrupt
        return read(self, start, *rest)

    target = tmp_path / "t.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(PromptReader, "_run_pass", stops)
        with pytest.raises(KeyboardInterrupt):
            _extract(subject, OPENED, chunk=16, output=target)
    partial = Trace.open(tmp_path / "t.zarr.partial", partial=True)
    assert partial.roles == wanted.roles[: n + 32]
    assert partial.prompt_tokens == n
    assert partial.roles[n:] == ["reasoning"] * 32
    whole = _extract(subject, OPENED, chunk=16, output=target, resume=True)
    assert whole.roles == wanted.roles
    assert whole.attrs["reasoning"] == wanted.attrs["reasoning"] == ("Hm, " * 8).strip()


def test_a_redacted_trace_keeps_the_roles_and_no_word_of_the_reasoning(subject, monkeypatch):
    _script(monkeypatch, "Hm.</think>Four.")
    trace = _extract(subject, OPENED)
    redacted = redact(trace)
    assert redacted.roles == trace.roles
    assert redacted.attrs["reasoning"] == "‹reasoning·3›"
    assert redacted.is_generated.tolist() == trace.is_generated.tolist()


class _Scripted(LogitsProcessor):
    """Has `generate` take the given rows of ids, one per sequence."""

    def __init__(self, rows):
        self.rows, self.step = rows, 0

    def __call__(self, input_ids, scores):
        forced = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(self.rows):
            forced[row, ids[min(self.step, len(ids) - 1)]] = 0
        self.step += 1
        return forced


def _generate(subject, prompts, answers, **options):
    """Record `generate` over left-padded prompts, and return the traces."""
    rows = [_ids(prompt) for prompt in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([[257] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    forced = [[*_ids(answer), 257] for answer in answers]
    with record(subject, tokenizer=tokenizer(), **options) as recorder:
        subject.generate(
            ids, attention_mask=mask, do_sample=False, pad_token_id=257,
            logits_processor=[_Scripted(forced)], max_new_tokens=max(map(len, forced)),
        )  # fmt: skip
    return recorder.traces


def test_generated_reasoning_has_its_role_in_each_sequence_of_a_batch(subject):
    prompts = ["2+2?", "Why?<think>\n", "Hi <think>a</think>"]
    answers = ["<think>Hm</think>Four", "So.</think>End", "Hello."]
    wanted = [("Hm", 4), ("So.", 12), ("", 19)]
    traces = _generate(subject, prompts, answers)
    for trace, prompt, (reasoning, n) in zip(traces, prompts, wanted, strict=True):
        roles = np.array(trace.roles)
        assert trace.prompt_tokens == trace.attrs["prompt"]["tokens"] == n
        assert _text(trace, ~trace.is_generated & (roles != "padding")) == prompt
        assert _text(trace, trace.is_generated & (roles == "reasoning")) == reasoning
        assert not set(roles[:n]) & {"generated", "reasoning"}
    short = traces[2].roles[19:]
    assert short == ["generated"] * 7 + ["padding"] * (len(short) - 7)


def test_attention_from_the_answer_is_that_of_reasoning_too():
    roles = ["template", "reasoning", *["content"] * 10, *["reasoning"] * 3, *["generated"] * 2]
    plain = synthetic(roles=roles)
    trace = Trace(plain.dataset.assign_attrs(prompt={**plain.attrs["prompt"], "tokens": 12}))
    assert trace.is_generated.tolist() == [False] * 12 + [True] * 5
    rows = trace["window"][:, :, 12:].astype(np.float64)
    np.testing.assert_allclose(trace.by("token")["answer_attention"], rows.mean(2), atol=1e-6)


def test_a_recorded_prompt_has_the_hash_that_it_has_alone(subject):
    (answered,) = _generate(subject, ["é2+2?"], ["Four"])
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject(torch.tensor([_ids("é2+2?")]))
    assert answered.attrs["prompt"] == recorder.trace.attrs["prompt"]


def test_parts_of_tokens_that_a_marker_cuts():
    tokens = ["a<", "think", ">\n", "b", "", ".</", "think", ">c", "\n\n", "d"]
    parts = answer_parts(["x", *tokens], 1)
    assert parts == [
        "content", "marker", "marker", "reasoning", "reasoning", "marker", "marker", "content",
        "content", "content",
    ]  # fmt: skip
    assert answer_roles(parts).count("reasoning") == 2
    assert answer_parts(["x"], 1) == []
    assert answer_parts(["<think>", "\n", "b", "."], 2) == ["reasoning"] * 2
    assert answer_parts(["<think>", "b", "</s>"], 1, has_ended=True) == ["reasoning", "marker"]


def test_headers_of_channels_are_markers():
    tokens = [
        "<|channel|>", "analysis", "<|message|>", "Hm", ".", "<|end|>", "<|start|>", "assistant",
        "<|channel|>", "commentary", " to=functions.f ", "<|constrain|>", "json", "<|message|>",
        "{}", "<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "Four", "<|return|>",
    ]  # fmt: skip
    parts = answer_parts(tokens, 0, has_ended=True)
    assert [t for t, p in zip(tokens, parts, strict=True) if p == "reasoning"] == ["Hm", "."]
    assert [t for t, p in zip(tokens, parts, strict=True) if p == "content"] == ["{}", "Four"]

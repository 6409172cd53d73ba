"""A placebo equals float64 eager passes over other questions; its failure costs it alone."""

import copy
from functools import partial

import numpy as np
import pytest
import torch

from attentropy.engine.cost import memory
from attentropy.engine.prompt.placebo import QUESTIONS, placebo_prompts
from attentropy.engine.run import extract as module
from attentropy.engine.run import placebo
from attentropy.engine.run.extract import extract
from attentropy.engine.trace import sink_keys
from attentropy.report import planes
from attentropy.report.findings.rehearsal import observe_rehearsal, strongest_rehearsal
from tiny import save

CAPITALS = tuple(
    f"What is the capital of {country}?"
    for country in ("Brazil", "Canada", "Japan", "France", "Egypt")
)
OTHERS = (
    "How many legs does a spider have?", "Are whales mammals?", "Who wrote Hamlet?",
    "List three fruits.", "What is the opposite of hot?",
)  # fmt: skip


@pytest.fixture(scope="module")
def exact(embedded):
    """Return a float64 copy of the embedded model with its own eager attention."""
    model = copy.deepcopy(embedded.model).double()
    model.set_attn_implementation("eager")
    return model


def _extract_with(monkeypatch, questions):
    monkeypatch.setattr(module, "placebo_prompts", partial(placebo_prompts, questions=questions))
    return extract(device="cpu")


def _by_layer(model, ids):
    """Return ln P of the lens, [layers, positions, V], each layer through norm and head."""
    states, hooks = [], []
    for layer in model.model.layers:
        hooks.append(layer.register_forward_hook(lambda m, args, out: states.append(out)))
    with torch.no_grad():
        model(torch.tensor([ids]), use_cache=False)
        for hook in hooks:
            hook.remove()
        states = [out[0] if isinstance(out, tuple) else out for out in states]
        return torch.stack([model.lm_head(model.model.norm(s))[0].log_softmax(-1) for s in states])


def _chat(embedded, question):
    turns = [{"role": "user", "content": question}]
    text = embedded.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return embedded.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("questions", [QUESTIONS, CAPITALS, OTHERS])
def test_the_rule_equals_float64_eager_passes(monkeypatch, embedded, exact, questions):
    trace = _extract_with(monkeypatch, questions)
    n, ends = trace.prompt_tokens, trace.dummy_positions()
    assert ends.tolist() == list(range(n - 5, n))
    assert trace.attrs["placebo"] == {"questions": len(questions), "tokens": 5}
    own = _by_layer(exact, trace["token_ids"][:n].tolist())[:, -5:]
    others = torch.stack([
        _by_layer(exact, _chat(embedded, question))[:, -5:] for question in questions
    ]).amax(0)  # fmt: skip
    answer = embedded.tokenizer("Canberra", add_special_tokens=False)["input_ids"]
    final = own[-1, -1].argmax()
    following = [*trace["token_ids"][n - 4 : n].tolist(), int(final)]
    cells = []
    for layer in range(8):
        for column in range(5):
            allowed = [token for token in answer if token != following[column]]
            stored = trace.lens("rehearsal_placebo")[layer, ends[column]]
            if not allowed:  # the answer is the one word that this position predicts
                assert np.isnan(stored)
                continue
            best = max(allowed, key=lambda token: float(own[layer, column, token]))
            p, q = own[layer, column, best].exp(), others[layer, column, best].exp()
            rank = int((own[layer, column] > own[layer, column, best]).sum())
            assert float(stored) == pytest.approx(float(others[layer, column, best]), abs=1e-4)
            if rank <= 4 and p >= 0.05 and p >= 10 * q:
                cells.append((layer, int(ends[column]), float(p), float(q)))
    strongest = strongest_rehearsal(trace)
    assert strongest.cells == len(cells)  # every layer of this model can be read
    assert strongest.is_found is bool(cells)
    if cells:
        layer, position, p, q = max(cells, key=lambda cell: cell[2])
        assert (strongest.entry, strongest.position) == (layer, position)
        assert (strongest.probability, strongest.placebo) == pytest.approx((p, q), rel=1e-3)
    is_missing = np.isnan(trace["rehearsal_placebo"])
    is_missing[..., ends[:-1]] = ~is_missing[..., ends[:-1]]
    assert is_missing.all()


def test_the_embedded_model_rehearses_its_answer_and_not_that_of_other_capitals(monkeypatch):
    best = strongest_rehearsal(extract(device="cpu"))
    assert (best.is_found, best.token) == (True, "Canberra")
    assert best.probability > 0.9
    assert best.placebo < 0.01
    same_kind = strongest_rehearsal(_extract_with(monkeypatch, CAPITALS))
    assert same_kind.is_found  # the word is Australia's alone, and no habit of capital questions
    assert same_kind.placebo < 0.05


def test_the_same_question_as_its_own_placebo_rehearses_nothing(monkeypatch):
    question = "What is Australia's capital city?"
    monkeypatch.setattr("attentropy.engine.prompt.placebo.LEAST", 1)
    trace = _extract_with(monkeypatch, (question,) * 5)
    best = strongest_rehearsal(trace)
    assert not best.is_found
    assert best.placebo > 0.3
    assert observe_rehearsal(trace).text.startswith("No rehearsal found")


@pytest.mark.parametrize("limit", [1, 100])
def test_questions_read_one_by_one_or_in_groups_give_the_same(monkeypatch, limit):
    together = extract(device="cpu")
    monkeypatch.setattr(memory, "SMALLEST_DEFAULT_CHUNK", limit)
    grouped = extract(device="cpu", chunk=7)
    for name in ("rehearsal_placebo", "reference_entropy", "reference_entropy_without_sinks"):
        np.testing.assert_allclose(grouped[name], together[name], atol=1e-4)
    assert grouped.attrs["placebo"] == together.attrs["placebo"]


@pytest.mark.parametrize("error", [RuntimeError("a secret"), MemoryError(), IndexError("x")])
def test_a_failure_costs_the_placebo_alone(monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(placebo, "_read_all", fail)
    trace = extract(device="cpu")
    assert trace.attrs["answer"] == "Canberra"
    assert np.isfinite(trace.lens("rehearsal")[:, trace.dummy_positions()[:-1]]).all()
    assert np.isnan(trace["rehearsal_placebo"]).all()
    why = f"reading the placebo questions failed ({type(error).__name__})"
    assert trace.attrs["placebo"] == {"why_not": why}
    assert observe_rehearsal(trace).text.startswith(f"Rehearsal was not tested: {why}.")


@pytest.mark.parametrize(
    ("options", "why"),
    [({"prompt": "Paris is", "chat_template": False}, "not written with a chat template"),
     ({"prompt": [5, 6, 7]}, "not written with a chat template"),
     ({"reference": False}, "the run left its reference out")],
)  # fmt: skip
def test_what_has_no_placebo_says_why(options, why):
    trace = extract(device="cpu", **options)
    assert why in trace.attrs["placebo"]["why_not"]
    assert np.isnan(trace["rehearsal_placebo"]).all()
    assert "not" in observe_rehearsal(trace).text


def test_questions_that_the_model_cannot_take_are_not_read(tmp_path):
    folder = save(tmp_path / "tiny", max_position_embeddings=48, num_hidden_layers=2)
    trace = extract(folder, "Hi", device="cpu", max_new_tokens=3)
    assert "longer than the model's context" in trace.attrs["placebo"]["why_not"]


def test_words_of_the_prompt_do_not_count():
    trace = extract(prompt="Is Canberra the capital of Australia?", device="cpu")
    assert set(trace["rehearsal_ids"].ravel().tolist()) & set(trace["generated_ids"].tolist()) or (
        np.isnan(trace.lens("rehearsal")).all()
    )
    repeated = extract(prompt="What is the capital of Australia? Not Canberra!", device="cpu")
    if repeated.attrs["answer"] == "Canberra":
        assert np.isnan(repeated.lens("rehearsal")).all()
        text = observe_rehearsal(repeated).text
        assert "the answer has no content word that is not in the prompt" in text


def test_the_reference_equals_traces_of_the_same_questions():
    trace = extract(device="cpu")
    for i, question in enumerate(QUESTIONS):
        own = extract(prompt=question, device="cpu", max_new_tokens=0)
        n = own.prompt_tokens
        visible = own["visible"][:, None, :n].astype(float)
        normalized = (own["entropy"][..., :n] / np.log(np.maximum(visible, 2)))[..., 1:]
        assert trace["reference_tokens"][i] == n
        np.testing.assert_allclose(
            trace["reference_entropy"][i], normalized.mean((1, 2)), atol=1e-5
        )
        np.testing.assert_allclose(
            trace["reference_lens_entropy"][i], own.lens("lens_entropy")[:, n - 1], atol=1e-4
        )


def test_the_reference_is_of_the_heads_and_layers_that_are_recorded():
    trace = extract(device="cpu", heads=[1, 2], layers="2:4", lens_layers="-1")
    own = extract(prompt=QUESTIONS[1], device="cpu", heads=[1, 2], max_new_tokens=0)
    n = own.prompt_tokens
    visible = own["visible"][2:4, None, 1:n].astype(float)
    wanted = (own["entropy"][2:4, :, 1:n] / np.log(visible)).mean((1, 2))
    np.testing.assert_allclose(trace["reference_entropy"][1, 2:4], wanted, atol=1e-5)
    assert np.isnan(np.delete(trace["reference_entropy"], [2, 3], 1)).all()
    assert np.isfinite(trace["reference_lens_entropy"]).all(0).tolist() == [False] * 7 + [True]


def test_the_reference_without_sinks_equals_traces_of_the_same_questions(monkeypatch):
    # The embedded model has no sinks: its keys count as such from a smaller share on.
    monkeypatch.setattr(sink_keys, "SHARE", 0.05)
    monkeypatch.setattr(sink_keys, "_TIMES_UNIFORM", 0)
    trace = extract(device="cpu", heads=[0, 3])
    for i, question in enumerate(QUESTIONS):
        own = extract(prompt=question, device="cpu", max_new_tokens=0, heads=[0, 3])
        assert (own["sink_keys"] > 0).any()
        read = planes.read_attention(own)
        assert read.leaves_sinks_out
        wanted = np.full(8, np.nan)
        np.divide(read.focus_sum.sum(1), read.focus_count.sum(1), out=wanted,
                  where=read.focus_count.sum(1) > 0)  # fmt: skip
        stored = trace["reference_entropy_without_sinks"][i]
        np.testing.assert_allclose(stored, wanted, atol=1e-5)
    assert np.isfinite(trace["reference_entropy_without_sinks"]).any()


def test_without_the_further_sweep_the_reference_is_of_all_keys_alone():
    trace = extract(device="cpu", scores=False)
    assert np.isnan(trace["reference_entropy_without_sinks"]).all()
    assert np.isfinite(trace["reference_entropy"]).all()

"""Where the lens settles on the decisive token: each sentence agrees with the layers."""

import numpy as np
import pytest
import torch

from attentropy.engine.model.load import load
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.findings.settled import median_layer, observe_settled, settled, settling
from traces import CHAT, chat_roles, synthetic

WORDS = ("Canberra", " Canberra", " CANBERRA", " Sydney", " city", " The", " is", "<|eot_id|>")
IDS = {word: 100 + i for i, word in enumerate(WORDS)}
ANSWER = (" The", " Canberra", "<|eot_id|>")
QUERY = len(CHAT)  # the answer's first token predicts the decisive one


def settled_trace(tops, *, layers=None, readable=None, answer=ANSWER, **attrs):
    """Return a trace whose lens says `tops` before the decisive token, from the first layer on."""
    roles = [*chat_roles(list(CHAT)), *["generated"] * len(answer)]
    trace = synthetic(
        (*CHAT, *answer), roles, layers=len(tops), generated=answer, words=WORDS, window=False
    )
    data, n = trace.dataset, len(roles)
    top, rank = data["lens_top_ids"].values, data["lens_rank"].values
    data["target_ids"].values[:] = IDS[" is"]
    top[:], rank[:] = IDS[" is"], 0  # every other position settles in the first layer
    data["target_ids"].values[QUERY] = IDS[" Canberra"]
    for layer, word in enumerate(tops):
        top[0, layer, QUERY, 0] = IDS[word]
        rank[0, layer, QUERY] = 0 if word == " Canberra" else 3
        data["lens_top_logprobs"].values[0, layer, QUERY] = np.log(0.1 * (layer + 1))
    kl = np.zeros((1, len(tops), n), np.float32)
    for layer in range(readable or 0):
        kl[0, layer] = 99
    data["lens_kl"].values[:] = kl
    ids = np.array([IDS.get(word, 0) for word in answer], np.int32)
    model = data.attrs["model"] | {"layers": layers or len(tops)}
    facts = {
        "model": model,
        "prompt": {"tokens": len(CHAT), "chat": True},
        "answer": "The Canberra",
    }
    return Trace(data.assign(generated_ids=("step", ids)).assign_attrs(facts | attrs))


def _text(*args, **options):
    return observe_settled(settled_trace(*args, **options)).text


def test_the_sentence_has_layer_probability_and_the_median_of_the_prompt():
    trace = settled_trace([" Sydney", " city", " Canberra", " Canberra"])
    finding = observe_settled(trace)
    assert finding.text == (
        "After “The” (position 17) the lens's top token is “Canberra” from layer 2 onward "
        "(probability 0.30 there, 0.40 in layer 3); just before, its top token is “Sydney” in "
        "layer 0, “city” in layer 1. For the model's own predictions in the prompt, the median "
        "settling layer is 0 (17 positions)."
    )
    assert (finding.value, finding.layer, finding.position, finding.n) == (2, 2, QUERY, 4)
    assert finding.is_found
    assert median_layer(trace) == (0, len(CHAT))


@pytest.mark.parametrize("spelling", ["Canberra", " CANBERRA"])
def test_spellings_that_differ_in_blank_or_case_are_one_token(spelling):
    finding = observe_settled(settled_trace([" Sydney", spelling, " Canberra", spelling]))
    assert (finding.layer, finding.is_found) == (1, True)
    assert settling(settled_trace([" Sydney", spelling, " Canberra", spelling]))[QUERY] == 1


def test_in_a_redacted_trace_tokens_are_compared_by_their_numbers():
    trace = redact(settled_trace([" Sydney", "Canberra", " Canberra", " Canberra"]))
    assert settling(trace)[QUERY] == 2
    assert "Canberra" not in observe_settled(trace).text


def test_the_last_layer_is_no_settling_layer():
    finding = observe_settled(settled_trace([" city", " city", " Sydney", " Canberra"]))
    assert (
        "settles on “Canberra” only in the last layer (layer 3, probability 0.40); just before"
        in (finding.text)
    )
    assert "“city” in layers 0–1, “Sydney” in layer 2." in finding.text
    assert not finding.is_found


def test_a_token_that_was_on_top_before_and_lost_its_place_settles_in_the_last_layer():
    text = _text([" Sydney", " Canberra", " Canberra", " city", " Canberra"])
    assert "the lens settles on “Canberra” only in the last layer (layer 4, probability" in text
    assert "its top token is “Sydney” in layer 0, “Canberra” in layers 1–2, “city” in" in text


def test_where_half_of_the_prompt_settles_in_the_last_layer_the_sentence_says_so():
    trace = settled_trace([" Sydney", " city", " Canberra"])
    trace.dataset["lens_rank"].values[0, :2, :QUERY] = 5
    trace.dataset["lens_top_ids"].values[0, :2, :QUERY, 0] = IDS[" city"]
    assert observe_settled(trace).text.endswith(
        " At least half of the model's own predictions in the prompt settle only in the last layer "
        "(17 positions)."
    )


def test_the_last_layer_that_was_read_is_not_called_the_models_last():
    assert "only in the last layer read (layer 2, " in _text([" is", " is", " Canberra"], layers=9)


def test_every_layer_may_have_the_token():
    text = _text([" Canberra"] * 3)
    assert "is “Canberra” in every layer read (probability 0.10 in layer 0, 0.30 in layer 2)." in (
        text
    )


def test_a_layer_whose_lens_cannot_be_read_is_no_settling_layer():
    finding = observe_settled(settled_trace([" city", *[" Canberra"] * 4], readable=3))
    assert "from layer 3 onward (probability 0.40 there" in finding.text
    assert "it is also in layers 1–2, where the lens is not readable" in finding.text
    assert (finding.layer, finding.is_found) == (3, True)
    only = observe_settled(settled_trace([*[" Canberra"] * 4], readable=3))
    assert "only in the last layer (layer 3, " in only.text
    assert not only.is_found


def test_top_tokens_of_layers_that_cannot_be_read_are_not_named():
    text = _text([" Sydney", " Sydney", " city", " Canberra"], readable=2)
    assert "Sydney" not in text
    assert "just before, its top token is “city” in layer 2" in text
    text = _text([" Sydney", " city", " Canberra", " Canberra"], readable=2)
    assert "; up to layer 1 the lens is not readable (its skill is under 0.5)" in text


def test_a_drawn_token_that_is_not_the_models_own_settles_nowhere():
    options = {"decoding": "sampled", "temperature": 1.0}
    finding = observe_settled(settled_trace([" Canberra", " Sydney"], options=options))
    assert finding.text == (
        "After “The” (position 17) the lens's top token in the last layer (layer 1) is “Sydney” "
        "(probability 0.20), not “Canberra”, which was sampled."
    )
    assert not finding.is_found


def test_a_token_that_begins_a_longer_word_is_named_with_it():
    answer = (" The", " Canberra", "ns", "<|eot_id|>")
    trace = settled_trace([" city", " Canberra"], answer=answer)
    assert "“Canberra” (of “Canberrans”)" in observe_settled(trace).text


def test_without_an_answer_it_is_the_prompts_last_position():
    trace = settled_trace([" city", " Canberra"])
    data = trace.dataset.isel(position=slice(QUERY), query=slice(QUERY), step=slice(0))
    place = settled(Trace(data))
    assert (place.query, place.text) == (QUERY - 1, " is")


def test_a_position_that_was_not_read_is_said_to_be():
    trace = settled_trace([" city", " Canberra"])
    trace.dataset["lens_entropy"].values[0, :, QUERY] = np.nan
    finding = observe_settled(trace)
    assert finding.text == (
        "Where the lens settles was not measured: it did not read position 17, after which the "
        "model writes the decisive token."
    )
    assert finding.value is None


@pytest.mark.costly
@pytest.mark.parametrize("city", ["Australia", "France", "Canada", "Japan"])
def test_it_is_what_float64_says_of_the_hidden_states(city):
    loaded = load(device="cpu")
    trace = extract(loaded.model, f"What is the capital of {city}?", tokenizer=loaded.tokenizer,
                    map_tile="none", scores=False)  # fmt: skip
    logits = _lens_logits(loaded.model, trace["token_ids"])
    texts = [loaded.tokenizer.decode([i]).strip().casefold() for i in range(logits.shape[-1])]
    top = [[texts[i] for i in row] for row in logits.argmax(-1).tolist()]
    prompt, layers = trace.prompt_tokens, len(top)
    query = prompt - 1  # these answers are a name alone

    def layer_of(position):
        return next(i for i in range(layers) if len({row[position] for row in top[i:]}) == 1)

    finding = observe_settled(trace)
    wanted = layer_of(query)
    assert (finding.position, finding.layer, finding.n) == (query, wanted, layers)
    assert finding.is_found is (wanted < layers - 1)
    p = logits.softmax(-1).amax(-1)[wanted, query]
    assert f"probability {p:.2f} " in finding.text
    median = np.median([layer_of(i) for i in range(prompt)])
    assert finding.text.endswith(f"median settling layer is {median:g} ({prompt} positions).")


def _lens_logits(model, ids):
    """Return the logits of the lens in float64, [layer, position, V]."""
    model, states = model.double(), []
    hooks = [
        layer.register_forward_hook(
            lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in model.model.layers
    ]
    with torch.no_grad():
        model(torch.tensor([ids.tolist()]), use_cache=False)
        logits = torch.stack([model.lm_head(model.model.norm(state))[0] for state in states])
    for hook in hooks:
        hook.remove()
    model.float()
    return logits

"""What a head is called in the grid of all heads."""

import numpy as np
import pytest

from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.sources import LABELS
from attentropy.report.findings.head_roles import KINDS, WORD_WEIGHT, head_columns, head_roles
from attentropy.report.read.answer_words import read_answer
from sourced import capital
from traces import synthetic


@pytest.fixture(scope="module")
def demo():
    return extract(device="cpu")


def _scored(trace, **scores):
    named = {
        f"head_{name}": (("layer", "score_head"), np.asarray(values, np.float32))
        for name, values in scores.items()
    }
    heads = len(next(iter(scores.values()))[0])
    dataset = trace.dataset.assign(named)
    return Trace(dataset.assign_coords(score_head=np.arange(heads, dtype=np.int32)))


def _quiet(layers=2, heads=3, keys=None, weight=0.0):
    """Return a trace whose heads attend to nothing in particular in the row that decides."""
    trace = synthetic(layers=layers, heads=heads)
    trace.dataset["max_prob"].values[:] = weight
    if keys is not None:
        trace.dataset["top_key"].values[:] = keys
    return trace


def test_the_embedded_models_heads_name_the_word_that_the_answer_comes_from(demo):
    roles = head_roles(demo)
    decisive = read_answer(demo).decisive
    assert roles.query == decisive.query == demo.prompt_tokens - 1
    assert roles.where == "where the model says “Canberra”"
    words = {word for row in roles.words for word in row if word}
    assert {"capital", "Australia"} <= words
    assert not [word for word in words if "<|" in word]  # template tokens are no words


def test_a_word_has_at_least_the_weight_that_its_label_promises(demo):
    """The window has the exact weights of every row of this prompt."""
    roles, weights = head_roles(demo), demo["window"][:, :, -1]
    tokens = [text.strip() for text in demo.tokens]
    for layer, row in enumerate(roles.words):
        for head, word in enumerate(row):
            keys = [k for k, text in enumerate(tokens[: demo.prompt_tokens]) if text == word]
            assert not word or weights[layer, head, keys].max() >= WORD_WEIGHT - 1e-4


def test_the_bound_holds_where_a_sink_has_the_largest_weight():
    trace = _quiet(keys=0, weight=0.6)
    shape = trace.dataset["entropy"].shape
    dims = ("layer", "head", "query")
    word = trace.tokens.index(" capital")
    for mass, entropy, is_named in ((0.6, 0.5, True), (0.6, 0.8, False), (0.9, 0.0, False)):
        own = trace.dataset.assign(
            sink_key_mass=(dims, np.full(shape, mass, np.float32)),
            entropy_without_sinks=(dims, np.full(shape, entropy, np.float32)),
            top_key_without_sinks=(dims, np.full(shape, word, np.int32)),
        )
        roles = head_roles(_scored(Trace(own), entropy=np.ones((2, 3))))
        assert ((1 - mass) * np.exp(-entropy) >= WORD_WEIGHT) == is_named
        assert {word for row in roles.words for word in row} == {"capital" if is_named else ""}


def test_the_first_kind_that_fits_is_the_label():
    word = synthetic().tokens.index(" capital")
    trace = _quiet(keys=word, weight=0.0)
    trace.dataset["max_prob"].values[0, 1] = 0.5
    trace.dataset["max_prob"].values[1, 0] = 0.5
    scores = {
        "previous": [[0.9, 0.1, 0.1], [0.1, 0.1, 0.1]],
        "induction": [[0.9, 0.1, 0.9], [0.1, 0.1, 0.1]],
        "sink": [[0.9, 0.9, 0.9], [0.1, 0.4, 0.1]],
        "local": [[0.1, 0.1, 0.1], [0.1, 0.95, 0.95]],
        "diffuse": [[0.1, 0.1, 0.1], [0.1, 0.1, 0.95]],
    }
    roles = head_roles(_scored(trace, **scores))
    labels = [[roles.label(layer, head) for head in range(3)] for layer in range(2)]
    assert labels == [["previous", "→ capital", "induction"], ["→ capital", "sink", "local"]]


def test_heads_without_a_kind_have_no_label():
    roles = head_roles(_scored(_quiet(), entropy=np.ones((2, 3))))
    assert not roles.kinds.any()
    assert roles.label(0, 0) == KINDS[0] == ""


def test_a_trace_without_scores_and_thumbnails_has_no_grid():
    assert head_columns(synthetic()) == ()


def test_a_redacted_trace_names_positions(demo):
    trace = redact(demo)
    words = {word for row in head_roles(trace).words for word in row if word}
    positions = {f"position {demo.tokens.index(text)}" for text in (" capital", " Australia")}
    assert positions <= words
    assert all(word.startswith("position ") for word in words)


def test_a_selection_of_heads_keeps_its_words(demo):
    whole = head_roles(demo)
    part = extract(device="cpu", heads="1,3")
    assert head_columns(part) == (0, 1, 2, 3)
    roles = head_roles(part)
    for layer in range(8):
        assert roles.words[layer][1::2] == whole.words[layer][1::2]
        assert roles.words[layer][::2] == ("", "")


def test_heads_that_read_a_source_are_told_from_those_that_attend_to_no_effect():
    trace = capital()
    source = trace.tokens.index(" capital")
    data = trace.dataset.copy(deep=True)
    query = read_answer(trace).decisive.query
    data["top_key"].values[:] = -1
    data["max_prob"].values[:] = 0.9
    data["top_key"].values[1, 0, query] = source  # before the layers that read it, 2 to 4
    data["top_key"].values[3, 1, query] = source
    data["top_key"].values[3, 2, query] = trace.tokens.index(" is")
    own = Trace(data)
    heads = data.sizes["head"]
    own = _scored(own, sink=np.zeros((6, heads)))
    own.sources = trace.sources
    roles = head_roles(own)
    kinds = [[KINDS[kind] for kind in row] for row in roles.kinds]
    assert kinds[1][0] == "seen"
    assert kinds[3][1] == "source"
    assert roles.label(3, 1) == "→ capital"
    assert "word" not in {kind for row in kinds for kind in row}

    # Where nobody knows which layers read a source, no head attends to it without effect.
    group = trace.sources.copy(deep=True)
    group["effect_from_layer"].values[:] = np.nan
    unknown = _scored(Trace(data), sink=np.zeros((6, heads)))
    unknown.sources = group
    kinds = [[KINDS[kind] for kind in row] for row in head_roles(unknown).kinds]
    assert (kinds[1][0], kinds[3][1]) == ("open", "open")


def test_a_word_that_was_not_tested_is_not_said_to_have_no_effect():
    trace = capital()
    data = trace.dataset.copy(deep=True)
    query = read_answer(trace).decisive.query
    data["top_key"].values[:] = -1
    data["max_prob"].values[:] = 0.9
    country = trace.tokens.index(" Australia")
    data["top_key"].values[2, 0, query] = country  # hidden in every layer, no effect in this one
    data["top_key"].values[2, 1, query] = query - 1  # "Australia" in the answer, its copy
    own = _scored(Trace(data), sink=np.zeros((6, data.sizes["head"])))
    own.sources = trace.sources
    assert [KINDS[kind] for kind in head_roles(own).kinds[2][:2]] == ["seen", "seen"]
    group = trace.sources.copy(deep=True)
    for name in ("with_copies", "direct", "total"):
        group[f"effect_{name}"].values[3] = np.nan
    group["label"].values[3] = LABELS.index("not tested")
    untested = _scored(Trace(data), sink=np.zeros((6, data.sizes["head"])))
    untested.sources = group
    assert [KINDS[kind] for kind in head_roles(untested).kinds[2][:2]] == ["open", "open"]

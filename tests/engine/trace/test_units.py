"""Statistics of words, messages and segments are float64 sums over their tokens."""

import numpy as np
import pytest
import regex

import traces
from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.engine.trace.units import starts_word, units_of

TEXTS = {
    "English": ["Don", "'t", " stop", ":", " ", "3", ".", "14", " un", "believ", "able", "!\n"],
    "German": ["Die", " Donau", "dampf", "schiff", "fahrt", ",", " Grö", "ße", "  ", " da"],
    "Chinese": ["你好", ",", "世", "界", "。", " abc", "日"],
    "Arabic": ["مر", "حبا", " بال", "عالم", "،", " كيف"],
    "emoji": ["ok", " 👩\u200d", "", "👩", "", "\u200d👧", " 🇩🇪", "🇫🇷", "👍", "🏽"],
    "code": ["for", " i", " in", " range", "(", "10", "):", "\n   ", " x", "_", "1", " +=", " foo",
             ".bar", "(i", ")"],
}  # fmt: skip
WORDS = {
    "English": ["Don't", " stop", ":", " ", "3.14", " unbelievable", "!\n"],
    "German": ["Die", " Donaudampfschifffahrt", ",", " Größe", "  ", " da"],
    "Chinese": ["你好", ",", "世", "界", "。", " abc", "日"],
    "Arabic": ["مرحبا", " بالعالم", "،", " كيف"],
    "emoji": ["ok", " 👩\u200d👩\u200d👧", " 🇩🇪", "🇫🇷", "👍🏽"],
    "code": ["for", " i", " in", " range", "(", "10", "):", "\n   ", " x_1", " +=", " foo.bar",
             "(i", ")"],
}  # fmt: skip


def trace_of(tokens, roles=None):
    return traces.synthetic(tokens, roles or ["content"] * len(tokens), layers=3, heads=2)


@pytest.mark.parametrize("language", TEXTS)
def test_words_are_those_of_the_text(language):
    tokens = TEXTS[language]
    assert units_of(trace_of(tokens), "word").names == WORDS[language]
    letters = list("".join(tokens))  # one token per character: Unicode's own segments
    own = regex.split(r"(?wV1)\b", "".join(letters))
    assert units_of(trace_of(letters), "word").names == [word for word in own if word]


@pytest.mark.parametrize("language", TEXTS)
def test_a_word_is_the_float64_sum_and_mean_of_its_tokens(language):
    trace = trace_of(TEXTS[language])
    words = trace.by("word", ["entropy", "lens_entropy", "max_prob"])
    assert "".join(words["text"].values) == "".join(TEXTS[language])
    assert words["tokens"].sum() == len(TEXTS[language])
    for name in ("entropy", "lens_entropy", "max_prob"):
        values = trace[name].astype(np.float64)
        for i, (a, b) in enumerate(zip(words["start"].values, words["stop"].values, strict=True)):
            total = sum(values[..., p] for p in range(a, b))
            np.testing.assert_allclose(words[f"{name}_sum"].values[..., i], total, rtol=1e-14)
            mean = words[f"{name}_mean"].values[..., i]
            np.testing.assert_allclose(mean, total / (b - a), rtol=1e-14)
        assert words[f"{name}_sum"].dtype == np.float64
        np.testing.assert_allclose(words[f"{name}_sum"].sum(), values.sum(), rtol=1e-12)


def test_roles_part_words_and_the_rest_of_a_character_does_not():
    assert starts_word(["a", "b"], ["template", "content"]).tolist() == [True, True]
    assert starts_word(["a", "b"], ["content", "content"]).tolist() == [True, False]
    spans = np.array([[0, 3], [0, 6]])  # the second token has the last byte of the first character
    assert starts_word(["你", "好"], ["content"] * 2, spans).tolist() == [True, False]
    assert starts_word(["👩", ""], ["content", "template"]).tolist() == [True, False]


def test_missing_values_make_a_sum_missing_and_leave_the_mean():
    trace = trace_of(TEXTS["English"])
    entropy = trace["entropy"].copy()
    entropy[0, 0, 0] = np.nan  # of "Don"
    words = Trace(trace.dataset.assign(entropy=(("layer", "head", "query"), entropy))).by("word")
    assert np.isnan(words["entropy_sum"].values[0, 0, 0])
    assert words["entropy_mean"].values[0, 0, 0] == entropy[0, 0, 1]
    assert np.isfinite(words["entropy_sum"].values[0, 0, 1:]).all()


def test_messages_and_segments_add_up_over_their_own_tokens(tmp_path):
    trace = trace_of(TEXTS["English"])
    number = np.array([-1, 0, 0, -1, 0, 0, 2, 2, -1, 2, 2, -1], np.int32)
    trace = Trace(trace.dataset.assign_coords(message=("position", number)))
    trace = trace.with_segments({"a": [0, 5], "pi": "3.14"})
    trace = Trace.open(trace.save(tmp_path / "t.zarr"))
    messages = trace.by("message")
    assert messages["message"].values.tolist() == [0, 2]
    entropy = trace["entropy"].astype(np.float64)
    for i, own in enumerate((0, 2)):
        np.testing.assert_allclose(
            messages["entropy_sum"].values[..., i], entropy[..., number == own].sum(-1), rtol=1e-14
        )
    segments = trace.by("segment")
    assert segments["segment"].values.tolist() == ["a", "pi"]
    assert segments["text"].values.tolist() == ["Don't", "3.14"]
    assert segments["start"].values.tolist() == [0, 5]
    assert segments["stop"].values.tolist() == [2, 8]
    hidden = redact(trace)
    assert {*hidden["segment"].tolist()} == {"", "segment 1", "segment 2"}
    with pytest.raises(UsageError, match="redacted"):
        hidden.by("word")


def test_segments_count_characters_of_the_messages_words():
    trace = traces.synthetic().with_segments({"question": [0, 7], "place": "Australia"})
    named = [(t, s) for t, s in zip(trace.tokens, trace["segment"], strict=True) if s]
    assert named == [("What", "question"), (" is", "question"), (" Australia", "place")]


@pytest.mark.parametrize(
    ("segments", "words"),
    [
        ({"a": [0, 999]}, "characters 0 to"), ({"a": [3, 3]}, "characters 0 to"),
        ({"a": "nothing of it"}, "nowhere"), ({"a": "a"}, "times"), ({"a": [0.5, 2]}, "a name"),
        ({"a": [0, 7], "b": [6, 9]}, "share a token"), ([1], "a name"), ({}, "a name"),
        ({" ": [0, 3]}, "a name"),
    ],
)  # fmt: skip
def test_segments_that_do_not_fit_are_refused(segments, words):
    with pytest.raises(UsageError, match=words):
        traces.synthetic().with_segments(segments)


def test_surprisal_is_of_the_given_tokens_but_the_first():
    trace = trace_of(TEXTS["German"])
    logprob = np.linspace(-3, -0.1, len(trace.tokens)).astype(np.float32)
    logprob[0] = np.nan
    stand_in = _WithLogprob(trace.dataset, logprob)
    words = stand_in.by("word", [])
    bounds = zip(words["start"].values, words["stop"].values, strict=True)
    for i, (a, b) in enumerate(bounds):
        own = -logprob.astype(np.float64)[max(a, 1) : b]
        expected = own.sum() if own.size else np.nan
        np.testing.assert_allclose(words["surprisal_sum"].values[i], expected, rtol=1e-14)


class _WithLogprob(Trace):
    """A trace with a variable that the schema does not have yet."""

    def __init__(self, dataset, logprob):
        super().__init__(dataset)
        self._logprob = logprob

    def __contains__(self, name):
        return name == "token_logprob" or super().__contains__(name)

    def __getitem__(self, name):
        return self._logprob if name == "token_logprob" else super().__getitem__(name)


def test_the_answers_attention_adds_up_over_a_unit():
    tokens = [*TEXTS["English"], " Yes", "."]
    roles = ["content"] * (len(tokens) - 2) + ["generated"] * 2
    trace = trace_of(tokens, roles)
    words = trace.by("word", [])
    weights = trace["window"].astype(np.float64)[:, :, -2:].mean(-2)
    for i, (a, b) in enumerate(zip(words["start"].values, words["stop"].values, strict=True)):
        np.testing.assert_allclose(
            words["answer_attention"].values[..., i], weights[..., a:b].sum(-1), rtol=1e-12
        )
    np.testing.assert_allclose(words["answer_attention"].values.sum(-1), 1, atol=1e-6)
    assert "answer_attention" not in trace_of(TEXTS["English"]).by("word")


def test_what_a_trace_does_not_have_is_refused():
    trace = traces.synthetic()
    for unit, words in (("message", "no messages"), ("segment", "no segments"), ("x", "a unit")):
        with pytest.raises(UsageError, match=words):
            trace.by(unit)
    for name in ("top_key", "nothing", "target_ids", "generated_logprob"):
        with pytest.raises(UsageError, match="per token"):
            trace.by("word", [name])

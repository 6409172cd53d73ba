"""The headline and the line below it say what the trace holds, and no more."""

import numpy as np
import pytest

from answers import answered
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.compare.difference import compare
from attentropy.report.content.evidence import evidence
from attentropy.report.content.heading import heading
from attentropy.report.content.headline import headline
from attentropy.report.content.read_report import read_report
from attentropy.report.findings.settled import median_layer, settled, settling
from attentropy.report.findings.sure import runners_up
from attentropy.report.read.answer_words import read_answer
from long_traces import long
from skilled import skilled
from traces import CHAT, profiled, synthetic


def _settling(layers, trace=None):
    """Return a trace whose lens has the model's prediction at the prompt's end in these layers."""
    data = (trace or synthetic(generated=())).dataset.copy(deep=True)
    row, last = len(CHAT) - 1, data.sizes["layer"] - 1
    target = int(data["target_ids"][row])
    for layer in range(last + 1):
        is_top = layer in layers
        data["lens_top_ids"][0, layer, row, 0] = target if is_top else target + 1
        data["lens_rank"][0, layer, row] = 0 if is_top else 3
    return Trace(data)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (range(2, 6), "from layer 2 onward"), (range(6), "in every layer read"),
        ([5], "only in the last layer (5)"), ([0, 3, 4, 5], "from layer 3 onward"),
    ],
)  # fmt: skip
def test_the_lens_says_it_from_the_layer_where_it_stays_on_top(layers, words):
    trace = _settling(layers)
    assert f"is the lens's top token {words}" in evidence(trace)
    assert settled(trace).first == min(i for i in layers if set(range(i, 6)) <= set(layers))


def test_what_the_lens_cannot_say_is_said_so():
    skills = (-1.0, -0.5, 0.1, 0.2, 0.7, 1.0)
    trace = _settling(range(1, 6), skilled(skills, generated=()))
    assert "but can be read only from layer 4 onward" in evidence(trace)
    assert "so it cannot say when it settled" in evidence(_settling([]))
    few = _settling([4, 5], skilled(skills, generated=()))
    assert "the lens cannot be read before layer 4" in evidence(few)
    assert evidence(redact(Trace(trace.dataset.drop_vars("lens_top_ids")))) == ""


def test_the_median_counts_no_layer_whose_lens_is_not_readable():
    trace = skilled(generated=())
    readable = np.flatnonzero(trace.lens_skill().is_readable)
    entries = settling(trace)[: trace.prompt_tokens]
    wanted = [
        min((i for i in readable if i >= entry), default=7)
        for entry in entries[np.isfinite(entries)]
    ]
    if wanted:
        assert median_layer(trace) == (float(np.median(trace["layer"][wanted])), len(wanted))


def test_without_an_answer_the_next_token_is_the_headline_of_a_short_prompt():
    trace = _settling(range(2, 6))
    line = headline(trace)
    assert line.lead == "Most likely next token:"
    p = np.exp(trace["lens_top_logprobs"][0, -1, len(CHAT) - 1, 0])
    assert line.is_sure == (p >= 0.5)


def test_pages_without_an_answer_say_what_is_there_instead():
    text, below = heading(long(2048))
    assert "heads over 2,048 tokens" in text
    assert below.startswith("Local: more than 90 % of the attention on the last 64 tokens.")
    text, _ = heading(profiled())
    assert "tokens/s while recording" in text
    text, _ = heading(compare(answered(), answered(seed=1)))
    assert text.startswith("The answer")
    bare = synthetic(generated=()).dataset
    bare = Trace(bare.drop_vars([n for n in bare.data_vars if str(n).startswith("head_")]))
    assert heading(bare) == ("Attention and logit lens of 17 tokens", "")


def test_the_models_name_and_sizes_stand_below_and_not_in_the_headline():
    trace = answered()
    words = read_report(trace, []).words
    assert words.subtitle.startswith("synthetic · 6 layers × 3 heads · 17 + 3 tokens")
    assert "synthetic" not in words.headline.text
    assert read_report(profiled(lens=True), []).words.headline is None


def test_an_unlikely_word_does_not_sound_sure():
    trace = answered()
    trace.dataset["generated_logprob"].values[:] = np.log(0.3)
    line = headline(trace)
    assert not line.is_sure
    assert line.p.endswith("(unsure)")


@pytest.mark.parametrize(("p", "is_named"), [(0.3, True), (0.7, True), (0.95, False)])
def test_the_runner_up_is_named_where_the_word_is_not_clearly_the_first(p, is_named):
    trace = answered((" Paris", "<|eot_id|>"))
    trace.dataset["generated_logprob"].values[:] = np.log(p)
    line = headline(trace)
    others = runners_up(trace, read_answer(trace).decisive)
    assert others
    assert line.next == (others[0] if is_named else "")
    assert (f"next: {others[0]}" in line.p) == is_named
    assert ("unsure" in line.p) == (p < 0.5)


def test_a_perplexity_above_the_vocabularys_size_is_said_in_words():
    data = answered().dataset
    values = np.full(data.sizes["position"], -20.0, np.float32)
    data = data.assign(token_logprob=("query", values))
    model = {**data.attrs["model"], "vocabulary": 1000}
    words = read_report(Trace(data.assign_attrs(model=model)), []).words
    assert words.perplexity.startswith("Perplexity: worse than a uniform guess over ")
    large = {**model, "vocabulary": 10**9}
    assert "485,165,195" in read_report(Trace(data.assign_attrs(model=large)), []).words.perplexity

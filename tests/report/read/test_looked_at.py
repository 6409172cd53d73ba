"""Which words the row of the decisive word looks at, against a second way to count in float64."""

import numpy as np
import pytest

from attentropy.engine.trace.content_words import content_keys
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.findings.looked import LIFT, observe_looked, words_looked_at
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.looked_at import CLOSE, LEAST, NAMED, looked_at, telling_row
from traces import CHAT, chat_roles, synthetic

ANSWER = (" The", " capital", " of", " Australia", " is", " Can", "berra", ".", "<|eot_id|>")
TOKENS = (*CHAT, *ANSWER)
ROW = len(CHAT) + 4  # " is", which says "Canberra"
LAYERS, HEADS = 6, 3


def weighed(seed=0, answer=ANSWER, has_window=False):
    """Return a trace whose attention follows from random weights, and the weights in float64."""
    tokens = (*CHAT, *answer)
    n = len(tokens)
    random = np.random.default_rng(seed)
    weights = np.tril(random.random((LAYERS, HEADS, n, n)) ** 8) + np.tril(np.full((n, n), 1e-9))
    weights /= weights.sum(-1, keepdims=True)
    roles = [*chat_roles(CHAT), *["generated"] * len(answer)]
    data = synthetic(tokens, roles, generated=answer, layers=LAYERS, heads=HEADS).dataset
    data = data.drop_vars([name for name in data.variables if "window" in str(name)])
    is_sink = np.zeros((LAYERS, n), np.int32)
    is_sink[:, 0] = 1
    others = weights.copy()
    others[..., 0] = 0
    top, rest = (one.argmax(-1).astype(np.int32) for one in (weights, others))
    rest[..., 0] = -1
    axes = ("layer", "head", "query")
    data = data.assign(
        top_key=(axes, top), top_key_without_sinks=(axes, rest),
        max_prob=(axes, weights.max(-1).astype(np.float32)),
        sink_keys=(("layer", "position"), is_sink),
        received=(("layer", "received_head", "position"), weights.mean(1).sum(-2)[:, None]),
    ).assign_coords(received_head=("received_head", np.array([-1], np.int32)))  # fmt: skip
    if has_window:
        names = ("layer", "window_head", "window_query", "window_key")
        data = data.assign(window=(names, weights.astype(np.float32))).assign_coords(
            window_head=np.arange(HEADS, dtype=np.int32),
            window_query=np.arange(n, dtype=np.int32), window_key=np.arange(n, dtype=np.int32),
        )  # fmt: skip
    facts = {"tokens": len(CHAT), "chat": True}
    data = data.assign_attrs(prompt=facts, answer="".join(answer[:-1]).strip())
    return Trace(data), weights


def _content(row):
    """Return the content word of each position before a row, "" for none."""
    roles = [*chat_roles(CHAT), *["generated"] * len(ANSWER)]
    keys = content_keys(TOKENS[: row + 1], roles[: row + 1])
    return ["" if roles[i] in ("bos", "template") else key for i, key in enumerate(keys)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_window", [False, True])
def test_words_go_by_the_rows_weights_or_by_its_heads(seed, has_window):
    trace, weights = weighed(seed, has_window=has_window)
    assert telling_row(trace) == ROW == read_answer(trace).decisive.query
    own = looked_at(trace)
    assert (own.query, own.layers, own.heads) == (ROW, (3, 5), 3 * HEADS)
    row = weights[3:, :, ROW].copy()
    row[..., 0] = 0
    heads, shares = {}, {}
    for position, key in enumerate(_content(ROW)):
        if key:
            shares[key] = shares.get(key, 0) + row[..., position].mean()
            heads[key] = heads.get(key, 0) + int((row.argmax(-1) == position).sum())
    by_word = {word.text.casefold(): word for word in own.words}
    assert {key: word.heads for key, word in by_word.items()} == heads
    order = [word.text.casefold() for word in own.words]
    strength = shares if has_window else heads
    assert [strength[key] for key in order] == sorted(strength.values(), reverse=True)
    if has_window:
        for key, word in by_word.items():
            assert word.weight == pytest.approx(shares[key], abs=1e-6)
    else:
        assert all(word.weight is None for word in own.words)
    strongest = strength[order[0]]
    wanted = [key for key in order if strength[key] >= CLOSE * strongest and heads[key]][:NAMED]
    if heads[order[0]] < max(2, LEAST * own.heads):
        wanted = []
    assert [word.text.casefold() for word in own.named] == wanted


@pytest.mark.parametrize("seed", range(6))
def test_a_head_counts_where_few_other_rows_look_at_the_word(seed):
    trace, weights = weighed(seed)
    words, measured = words_looked_at(trace)
    assert measured == LAYERS * HEADS
    top, keys, n = weights.argmax(-1), _content(ROW), len(TOKENS)
    wanted = {}
    for layer in range(LAYERS):
        for head in range(HEADS):
            key = keys[top[layer, head, ROW]]
            if not key:
                continue
            share = 0.0
            for place in (i for i, one in enumerate(keys) if one == key):
                rows = [i for i in range(place + 1, n) if i != ROW]
                share += np.mean([top[layer, head, i] == place for i in rows])
            if share * LIFT <= 1:
                wanted.setdefault(key, []).append((layer, head, share))
    own = {one.text.casefold(): one for one in words}
    assert set(own) == set(wanted)
    for key, heads in wanted.items():
        by_word = {(head.entry, head.head): head for head in own[key].heads}
        assert set(by_word) == {(layer, head) for layer, head, _ in heads}
        for layer, head, share in heads:
            assert by_word[layer, head].share == pytest.approx(share)
            assert by_word[layer, head].weight == pytest.approx(weights[layer, head, ROW].max())
    finding = observe_looked(trace)
    assert finding.is_found == bool(wanted)
    if wanted:
        at = (finding.layer, finding.head, finding.position)
        assert trace["max_prob"][at] == finding.value
        assert "attend" in finding.text


def test_a_key_that_every_row_has_as_its_top_key_is_not_named():
    trace, _ = weighed()
    capital = TOKENS.index(" capital")
    trace.dataset["top_key"].values[:, :, capital + 1 :] = capital
    words, _ = words_looked_at(trace)
    assert words == ()
    assert not observe_looked(trace).is_found


def test_the_row_is_the_prompts_last_one_where_nothing_was_generated():
    trace = synthetic(generated=())
    assert telling_row(trace) == len(CHAT) - 1


def test_what_a_trace_does_not_hold_is_not_said():
    trace, _ = weighed()
    assert looked_at(redact(trace)) is None
    assert looked_at(Trace(trace.dataset.drop_vars("top_key"))) is None
    assert observe_looked(Trace(trace.dataset.drop_vars("max_prob"))) is None
    n = len(CHAT)
    short = Trace(trace.dataset.isel(query=slice(n), position=slice(n)))
    assert looked_at(short) is None  # an older trace has no rows of the answer
    without = Trace(trace.dataset.drop_vars(["top_key_without_sinks", "sink_keys", "received"]))
    assert looked_at(without) is not None

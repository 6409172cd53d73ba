"""A difference is B − A per value at the tokens of both traces, which must share enough tokens."""

import numpy as np
import pytest
import xarray as xr

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import BOTH, ONLY_A, ONLY_B, compare
from attentropy.report.content.difference_words import difference_captions
from attentropy.report.findings.compared import CHANGED, observe
from attentropy.report.findings.settled import settling
from attentropy.report.findings.side_means import by_head, by_layer
from attentropy.report.read import views
from attentropy.report.units import signed
from traces import CHAT, synthetic

# " the" is replaced by two tokens, "assistant" is dropped, "!" is added before the end of turn.
EDITED = [*CHAT[:7], " a", " great", *CHAT[8:12], "!", *CHAT[12:14], *CHAT[15:]]


def _renumbered(trace, texts):
    """Return the trace with one id per text, as a tokenizer assigns them."""
    numbers = {text: 1000 + i for i, text in enumerate(dict.fromkeys(texts))}
    ids = np.array([numbers[text] for text in trace.tokens], np.int32)
    return Trace(trace.dataset.assign_coords(token_ids=("position", ids)))


@pytest.fixture
def edited():
    both = [*CHAT, *EDITED]
    return [_renumbered(synthetic(t, seed=i), both) for i, t in enumerate((CHAT, EDITED))]


def test_columns_are_those_of_a_with_those_of_b_between(edited):
    of = compare(*edited)
    kinds = [BOTH] * 7 + [ONLY_A] + [ONLY_B] * 2 + [BOTH] * 4 + [ONLY_B] + [BOTH] * 2
    assert of.kind.tolist() == kinds + [ONLY_A] + [BOTH] * 2
    assert of.at_a[of.at_a >= 0].tolist() == list(range(len(CHAT)))
    assert of.at_b[of.at_b >= 0].tolist() == list(range(len(EDITED)))
    a, b = edited
    for column, text in enumerate(of.tokens):
        sides = [(a, of.at_a[column]), (b, of.at_b[column])]
        assert {trace.tokens[at] for trace, at in sides if at >= 0} == {text}


def test_values_are_b_minus_a_at_the_tokens_of_both_and_missing_elsewhere(edited):
    a, b = edited
    of = compare(a, b)
    both, (ia, ib) = of.both, (of.at_a[of.both], of.at_b[of.both])
    lens, entropy = of.lens("lens_entropy"), of["entropy"]
    np.testing.assert_array_equal(
        lens[:, both], b.lens("lens_entropy")[:, ib] - a.lens("lens_entropy")[:, ia]
    )
    np.testing.assert_array_equal(entropy[..., both], b["entropy"][..., ib] - a["entropy"][..., ia])
    assert np.isnan(lens[:, ~both]).all()
    assert np.isnan(entropy[..., ~both]).all()
    means = b["entropy"].mean(1)[:, ib] - a["entropy"].mean(1)[:, ia]
    np.testing.assert_allclose(planes.read_attention(of).mean[:, both], means, atol=1e-6)
    for view, (one, other) in of.sides.items():
        shown = {"lens": lens, "attention": planes.read_attention(of).mean}[view]
        np.testing.assert_allclose((other - one)[:, both], shown[:, both], atol=1e-6)
        assert np.isfinite(one[:, of.kind == ONLY_A]).all()
        assert np.isnan(other[:, of.kind == ONLY_A]).all()


def test_a_part_of_it_is_read_as_the_whole_is(edited):
    of = compare(*edited)
    whole = of["entropy"]
    for key in (np.s_[2], np.s_[2, 1], np.s_[..., 5:12], np.s_[1, :, 8], np.s_[..., 7:8]):
        np.testing.assert_array_equal(of.dataset["entropy"][key].values, whole[key])


def test_most_attended_keys_are_columns(edited):
    a, b = edited
    of = compare(a, b)
    for side, (trace, at) in enumerate(((a, of.at_a), (b, of.at_b))):
        keys = of.of_side("top_key", side).values
        there = at >= 0
        np.testing.assert_array_equal(at[keys[..., there]], trace["top_key"])
        assert (keys[..., ~there] == -1).all()
    np.testing.assert_array_equal(of["top_key"], of.of_side("top_key", 0).values)


def _without_sinks(trace):
    """Return the trace with other most attended keys besides sink keys, where a query has one."""
    keys = trace["top_key"] - 1
    dims = trace.dataset["top_key"].dims
    return Trace(trace.dataset.assign(top_key_without_sinks=(dims, keys.astype(np.int32))))


def test_most_attended_keys_leave_sink_keys_out_where_both_sides_do(edited):
    one = compare(_without_sinks(edited[0]), edited[1])
    assert not one.leaves_sinks_out
    np.testing.assert_array_equal(one["top_key"], compare(*edited)["top_key"])
    a, b = map(_without_sinks, edited)
    of = compare(a, b)
    assert of.leaves_sinks_out
    for side, (trace, at) in enumerate(((a, of.at_a), (b, of.at_b))):
        keys = of.of_side("top_key", side).values[..., at >= 0]
        own, other = trace["top_key"], trace["top_key_without_sinks"]
        np.testing.assert_array_equal(at[keys], np.where(other >= 0, other, own))
    np.testing.assert_array_equal(of["top_key"], of.of_side("top_key", 0).values)
    caption = difference_captions([views.read_view(of, "attention")])["attention"]
    assert "the most attended token besides sink keys in A → in B" in caption


def _translated(trace, file, digest):
    options = {"lens_translator": {"file": file, "sha256": digest, "kind": "translator"}}
    return Trace(trace.dataset.assign_attrs(options=options))


@pytest.mark.parametrize(
    ("digests", "words"),
    [((None, None), None), (("aa", "aa"), None),
     (("aa", None), "A was also read with the lens translator “x” (aa), B without one"),
     ((None, "bb"), "B was also read with the lens translator “x” (bb), A without one"),
     (("aa", "bb"), "The lens translators differ: “x” (aa) in A, “x” (bb) in B")],
)  # fmt: skip
def test_other_lens_translators_are_named(edited, digests, words):
    a, b = (
        trace if digest is None else _translated(trace, "x", digest)
        for trace, digest in zip(edited, digests, strict=True)
    )
    texts = {one.id: one.text for one in observe(compare(a, b))}
    expected = None if words is None else f"{words}; what is compared is the plain lens."
    assert texts.get("translators") == expected


def test_each_cell_names_the_likeliest_token_of_both(edited):
    a, b = edited
    of = compare(a, b)
    for side, (trace, at) in enumerate(((a, of.at_a), (b, of.at_b))):
        ids = of.lens("lens_top_ids")[..., side]
        there = at >= 0
        own = trace.lens("lens_top_ids")[..., 0]
        assert of.text_of(ids[:, there].ravel()) == trace.text_of(own[:, at[there]].ravel())
        assert (ids[:, ~there] == -1).all()


def test_a_trace_beside_itself_differs_nowhere():
    trace = synthetic(seed=3)
    of = compare(trace, trace)
    assert of.same_length
    assert (of["entropy"] == 0).all()
    assert (of.lens("lens_entropy") == 0).all()
    findings = observe(of)
    assert {o.id for o in findings} == {
        "answer", "predictions", "rehearsal", "lens_change", "settled", "heads"
    }  # fmt: skip
    assert not any(o.is_found for o in findings)
    assert all(o.value == 0 for o in findings if o.id != "answer")
    same = [o.text for o in findings if o.id != "rehearsal"]
    assert all("the same" in text and "0.00" not in text for text in same), same


def test_findings_hold_what_numpy_says(edited):
    a, b = edited
    of = compare(a, b)
    ia, ib = of.at_a[of.both], of.at_b[of.both]
    findings = {o.id: o for o in observe(of)}

    lens = b.lens("lens_entropy")[:, ib].mean(1) - a.lens("lens_entropy")[:, ia].mean(1)
    assert findings["lens_change"].layer == np.abs(lens).argmax()
    assert findings["lens_change"].value == pytest.approx(lens[np.abs(lens).argmax()], abs=1e-5)
    np.testing.assert_allclose(by_layer(of, "lens").change, lens, atol=1e-5)

    heads = b["entropy"][..., ib].mean(-1) - a["entropy"][..., ia].mean(-1)
    layer, head = np.unravel_index(np.abs(heads).argmax(), heads.shape)
    assert (findings["heads"].layer, findings["heads"].head) == (layer, head)
    assert findings["heads"].value == pytest.approx(heads[layer, head], abs=1e-5)
    assert f"{(np.abs(heads) >= CHANGED).sum()} of {heads.size} heads" in findings["heads"].text

    _, shares = by_head(of)
    with np.errstate(divide="ignore", invalid="ignore"):
        sides = [t["entropy"] / np.log(t["visible"])[:, None] for t in (a, b)]
    is_defined = (ia > 0) & (ib > 0)
    normalized = sides[1][..., ib[is_defined]].mean(-1) - sides[0][..., ia[is_defined]].mean(-1)
    np.testing.assert_allclose(shares.change, normalized, atol=1e-5)
    share = signed(normalized[layer, head])
    assert f"normalized entropy {share}" in findings["heads"].text

    other = np.array(a.text_of(a["target_ids"][ia])) != np.array(b.text_of(b["target_ids"][ib]))
    assert findings["predictions"].value == pytest.approx(other.mean())
    assert findings["predictions"].n == of.both.sum()


def test_the_lens_settles_where_it_stays_with_the_prediction():
    trace = synthetic(CHAT[:12] + CHAT[12:], layers=5)
    ranks = np.full((1, 5, len(CHAT)), 3, np.int32)
    ranks[0, 3:] = 0
    ranks[0, 1:, 2] = 0
    ranks[0, :, 3] = [0, 1, 0, 0, 0]
    ranks[0, -1, 4] = 7
    dataset = trace.dataset.assign(lens_rank=(("site", "layer", "position"), ranks))
    settled = settling(Trace(dataset))
    assert settled[[0, 2, 3]].tolist() == [3, 1, 2]
    assert np.isnan(settled[4])

    later = ranks.copy()
    later[0, 3] = 5
    moved = Trace(trace.dataset.assign(lens_rank=(("site", "layer", "position"), later)))
    finding = {o.id: o for o in observe(compare(Trace(dataset), moved))}["settled"]
    measured = np.isfinite(settled)
    gain = settling(moved)[measured] - settled[measured]
    assert finding.value == pytest.approx(gain.mean())
    assert finding.is_found
    assert "later in B" in finding.text


def test_other_tokenizers_are_aligned_by_text():
    a, b = synthetic(), synthetic(seed=1)
    ids = b["token_ids"][::-1].copy()
    b = Trace(b.dataset.assign_coords(token_ids=("position", ids)))
    with pytest.raises(UsageError, match="1 of the longer prompt's 17"):
        compare(a, b)  # equal tokenizer hashes, so the ids are compared
    attrs = b.attrs | {"tokenizer": {"sha256": "9" * 64}}
    of = compare(a, Trace(b.dataset.assign_attrs(attrs)))
    assert of.by_text
    assert of.same_length


def test_a_few_shared_ids_do_not_make_one_vocabulary_of_two():
    a, b = synthetic(), synthetic(seed=1)
    few = a["token_ids"] % 3 == 0  # each means the same text in both
    ids = np.where(few, b["token_ids"], b["token_ids"] + 5000)
    b = Trace(b.dataset.assign_coords(token_ids=("position", ids)))
    b = Trace(b.dataset.assign_attrs(tokenizer={"sha256": "9" * 64}))
    of = compare(a, b)
    assert of.by_text
    assert of.both.sum() == len(CHAT)


@pytest.mark.parametrize("tokenizers", [(None, None), ({"sha256": "9" * 64}, None)])
def test_without_both_hashes_ids_are_compared_where_none_has_two_texts(tokenizers):
    a, b = (
        Trace(synthetic(seed=seed).dataset.assign_attrs(tokenizer=tokenizer))
        for seed, tokenizer in enumerate(tokenizers)
    )
    assert not compare(a, b).by_text


def test_heads_of_other_models_are_compared_in_their_mean():
    a, b = synthetic(heads=3), synthetic(heads=5, seed=1)
    of = compare(a, b)
    assert of["head"].tolist() == [-1]
    expected = b["entropy"].mean(1) - a["entropy"].mean(1)
    np.testing.assert_allclose(of["entropy"][:, 0], expected, atol=1e-6)
    assert "mean over heads" in {o.id: o for o in observe(of)}["heads"].text


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (synthetic(layers=5), r"different layer counts \(6 and 5\)"),
        (synthetic([*CHAT, *["x"] * 18]), "only 17 of the longer prompt's 35 tokens"),
    ],
    ids=["layers", "tokens"],
)
def test_what_has_little_in_common_is_refused_in_one_line(other, reason):
    with pytest.raises(UsageError, match=reason) as error:
        compare(synthetic(), other)
    assert "\n" not in str(error.value)


def test_exactly_half_of_the_longer_side_is_enough():
    assert compare(synthetic(), synthetic([*CHAT, *["x"] * 17])).both.sum() == 17


def test_traces_without_a_view_in_common_are_refused_and_one_is_enough():
    whole = synthetic()
    lens = [name for name in whole.dataset if str(name).startswith(("lens", "rehearsal"))]
    attention = [n for n, v in whole.dataset.items() if "query" in v.dims or n == "window"]
    only_lens, only_attention = (Trace(whole.dataset.drop_vars(n)) for n in (attention, lens))
    with pytest.raises(UsageError, match="A has lens at residual and B has attention"):
        compare(only_lens, only_attention)
    assert list(compare(only_lens, whole).sides) == ["lens"]
    assert list(compare(whole, only_attention).sides) == ["attention"]
    assert observe(compare(only_lens, whole))
    assert observe(compare(whole, only_attention))


def test_stored_traces_are_read_a_layer_at_a_time(tmp_path, edited):
    paths = [t.save(tmp_path / f"{i}.zarr.zip") for i, t in enumerate(edited)]
    of = compare(*map(Trace.open, paths))
    assert isinstance(of.dataset["entropy"].variable._data, xr.core.indexing.ExplicitlyIndexed)
    np.testing.assert_array_equal(of["entropy"], compare(*edited)["entropy"])

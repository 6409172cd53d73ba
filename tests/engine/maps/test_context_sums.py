"""How far back heads attend, against the models' own eager weights in float64."""

import numpy as np
import pytest
import torch

from attentropy.engine.attention.sequence_call import SequenceCall
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.maps.context_sums import ContextSums
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.trace.context import bin_starts
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.ops import attention
from swept import LENGTH, random_ids, sweeps_of, swept
from tiny import model


def _bins(p):
    """Return the mean over queries of the mass in each bin, from weights [.., N, N]."""
    n = p.shape[-1]
    distance = np.abs(np.arange(n)[:, None] - np.arange(n))
    starts = bin_starts(n)
    ends = [*starts[2:], n]
    is_first = np.broadcast_to(np.arange(n) < 4, (n, n))
    masks = [is_first]
    masks += [
        ~is_first & (distance >= a) & (distance < b) for a, b in zip(starts[1:], ends, strict=True)
    ]
    return np.stack([(p * mask).sum(-1).mean(-1) for mask in masks], -1)


def _reach(p):
    """Return the share of queries with a weight on a key of the bin or beyond it."""
    n, sees = p.shape[-1], (p[:, :1] > 0).any(1)
    distance = np.arange(n)[:, None] - np.arange(n)
    is_first = np.arange(n) < 4
    shares = [(sees & is_first).any(-1).mean(-1)]
    shares += [(sees & ~is_first & (distance >= a)).any(-1).mean(-1) for a in bin_starts(n)[1:]]
    return np.stack(shares, -1)


def _uniform(p):
    sees = (p[:, :1] > 0).any(1)
    return _bins(sees / sees.sum(-1, keepdims=True))


def _swept(subject, chunk=None):
    sweeps = sweeps_of(subject)
    sweeps.context = ContextSums(sweeps.heads, LENGTH)
    return swept(subject, random_ids(), sweeps, chunk)


@pytest.mark.parametrize("chunk", [None, 48])
def test_bins_are_the_mean_mass_of_eager_attention(family, chunk):
    subject, p = family
    data = _swept(subject, chunk)
    np.testing.assert_allclose(data["context_mass"], _bins(p), atol=1e-5)
    np.testing.assert_allclose(data["context_mass"].sum("context_bin"), 1, atol=1e-5)
    np.testing.assert_allclose(data["context_reach"], _reach(p), atol=1e-6)
    np.testing.assert_allclose(data["context_uniform"], _uniform(p), atol=1e-6)
    assert data["context_bin"].values.tolist() == [-1, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256]
    heads, config = set(data["cache_heads"].values.tolist()), subject.config
    assert heads == {config.num_key_value_heads}
    assert data["cache_entry"].values.tolist() == list(range(config.num_hidden_layers))
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    assert set(data["cache_bytes"].values.tolist()) == {2 * size * 4}


@pytest.mark.parametrize("chunk", [None, 48])
def test_layers_that_read_the_keys_of_an_earlier_one_name_it(chunk):
    types = ["sliding_attention", "full_attention"] * 2
    subject = model(
        "gemma3n_text", num_hidden_layers=4, num_kv_shared_layers=2, layer_types=types,
        sliding_window=70, laurel_rank=8, activation_sparsity_pattern=[0.0] * 4,
        max_position_embeddings=512, vocab_size_per_layer_input=300,
    )  # fmt: skip
    assert _swept(subject, chunk)["cache_entry"].values.tolist() == [0, 1, 0, 1]


def test_a_run_that_stops_and_continues_has_the_same_sums():
    random = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 4, 33, 16, generator=random)
    lse = attention(q, k, v).lse
    calls = [
        SequenceCall(q[:, :, a:b], k[:, :, :b], lse[:, :, a:b], Visibility(Mask(b - a, b, a)), {})
        for a, b in ((0, 13), (13, 33))
    ]
    whole, first, second = (Sweeps(33, [4], context=ContextSums([4], 33)) for _ in range(3))
    for call in calls:
        whole.on_attention(0, call)
    first.on_attention(0, calls[0])
    second.restore(first.state())
    second.on_attention(0, calls[1])
    for name, (_, values) in whole.finished().items():
        np.testing.assert_array_equal(second.finished()[name][1], values, err_msg=name)


def test_a_chunked_mask_whose_cache_dropped_keys_sums_them_by_their_distance():
    random = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 50, 16, generator=random)
    lse = attention(q, k, v, chunk=12).lse
    i = torch.arange(50)
    hidden = (i[None] > i[:, None]) | (i[None] // 12 != i[:, None] // 12)
    p = torch.softmax((q[0].double() @ k[0].double().mT / 4).masked_fill(hidden, -1e9), -1)
    sums = ContextSums([2], 50)
    late = Visibility(Mask(25, 39, 14, chunk=12, key_starts=torch.tensor([-11])), first_key=11)
    early = Visibility(Mask(25, 25, 0, chunk=12))
    sums.add(0, SequenceCall(q[:, :, :25], k[:, :, :25], lse[:, :, :25], early, {}))
    sums.add(0, SequenceCall(q[:, :, 25:], k[:, :, 11:], lse[:, :, 25:], late, {}))
    results = sums.results()
    np.testing.assert_allclose(results["context_mass"][1][0], _bins(p.numpy()), atol=1e-6)
    np.testing.assert_allclose(results["context_reach"][1], _reach(p.numpy()[None]), atol=1e-6)
    uniform = results["context_uniform"][1]
    np.testing.assert_allclose(uniform, _uniform(p.numpy()[None]), atol=1e-6)


def test_keys_of_both_sides_count_by_their_distance():
    random = torch.Generator().manual_seed(0)
    q, k, _ = torch.randn(3, 1, 2, 21, 16, generator=random)
    for mask in ({"window": None}, {"window": 6}):
        where = {"causal": False} | mask
        lse = attention(q, k, k, **where).lse
        visibility = Visibility(Mask(21, 21, 0, causal=False, window=mask["window"]))
        sums = ContextSums([2], 21)
        sums.add(0, SequenceCall(q, k, lse, visibility, {}))
        distance = np.abs(np.arange(21)[:, None] - np.arange(21))
        hidden = torch.from_numpy(distance >= (mask["window"] or 21))
        p = torch.softmax((q[0].double() @ k[0].double().mT / 4).masked_fill(hidden, -1e9), -1)
        results = {name: values for name, (_, values) in sums.results().items()}
        np.testing.assert_allclose(results["context_mass"][0], _bins(p.numpy()), atol=1e-6)
        np.testing.assert_allclose(results["context_uniform"], _uniform(p.numpy()[None]), atol=1e-6)


def test_queries_without_a_key_are_in_no_mean():
    random = torch.Generator().manual_seed(0)
    q, k, _ = torch.randn(3, 1, 2, 30, 16, generator=random)
    offset = {"query_offset": -10}  # the first ten queries stand before all keys
    lse = attention(q, k[:, :, :20], k[:, :, :20], **offset).lse
    sums = ContextSums([2], 20)
    sums.add(0, SequenceCall(q, k[:, :, :20], lse, Visibility(Mask(30, 20, -10)), {}))
    np.testing.assert_allclose(sums.results()["context_mass"][1].sum(-1), 1, atol=1e-6)


def test_a_layer_that_is_not_recorded_has_no_values():
    results = ContextSums([2, 0], 40).results()
    assert np.isnan(results["context_mass"][1]).all()
    assert np.isnan(results["context_reach"][1]).all()
    assert (results["cache_heads"][1] == -1).all()

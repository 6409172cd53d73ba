"""Windows of constructed traces, and the cache that they leave."""

import numpy as np
import pytest

from attentropy.engine.trace.context import CacheBytes, bin_starts, context_use
from attentropy.engine.trace.dataset import Trace
from contexts import TOKENS, at_bins, with_context
from traces import synthetic


@pytest.mark.parametrize(
    ("tokens", "starts"),
    [(1, [-1, 0]), (2, [-1, 0, 1]), (3, [-1, 0, 1, 2]), (5, [-1, 0, 1, 2, 4]),
     (8, [-1, 0, 1, 2, 4]), (9, [-1, 0, 1, 2, 4, 8])],
)  # fmt: skip
def test_bins_reach_the_farthest_token(tokens, starts):
    assert bin_starts(tokens).tolist() == starts
    assert len(bin_starts(131_072)) == 1 + 18
    assert bin_starts(131_072)[-1] == 65_536


def test_a_window_is_the_smallest_power_of_two_that_holds_the_share():
    use = context_use(with_context([[
        at_bins({1: 1.0}),  # on itself
        at_bins({0: 0.9, 3: 0.096, 5: 0.004}),  # 96 % of the rest is at most 3 away
        at_bins({2: 0.5, 7: 0.5}),  # the last bin
        at_bins({0: 1.0}),  # nothing but the first keys
    ]]))  # fmt: skip
    assert use.windows(0.95).tolist() == [[1, 4, TOKENS, 1]]
    assert use.windows(0.99).tolist() == [[1, 16, TOKENS, 1]]
    assert use.half == 16
    assert use.is_far().tolist() == [[False, False, True, False]]
    assert use.heads == 4
    beyond = (np.arange(TOKENS) - 4 >= 4).mean()
    np.testing.assert_allclose(use.beyond(0.95)[0, 1], beyond, atol=1e-6)
    assert use.beyond(0.95)[0, 2] == 0


def test_a_cache_keeps_the_largest_window_of_the_heads_that_share_it():
    near, middle, far = at_bins({1: 1.0}), at_bins({4: 1.0}), at_bins({7: 1.0})
    use = context_use(with_context([[near, middle, near, near], [near, near, near, far]]))
    row = TOKENS * 64
    keys = (8 + 4) + (1 + 4) + (1 + 4) + TOKENS
    assert use.cache(0.95) == CacheBytes(4 * row, keys * 64)


def test_layers_that_share_keys_have_one_cache_with_their_largest_windows():
    near, middle, far = at_bins({1: 1.0}), at_bins({4: 1.0}), at_bins({7: 1.0})
    mass = [[near, middle, near, near], [near] * 4, [near, near, near, far]]
    use = context_use(with_context(mass, entries=[0, 1, 0]))
    row = TOKENS * 64
    first = CacheBytes(2 * row, (8 + 4 + TOKENS) * 64)
    second = CacheBytes(2 * row, 2 * (1 + 4) * 64)
    assert use.caches(0.95) == [first, second, CacheBytes(0, 0)]
    assert use.cache(0.95) == CacheBytes(4 * row, first.windowed + second.windowed)


def test_without_entries_each_layer_has_a_cache_of_its_own():
    trace = with_context([[at_bins({1: 1.0})] * 2] * 2, entries=[0, 0])
    earlier = Trace(trace.dataset.drop_vars("cache_entry"))
    assert context_use(earlier).cache(0.95).full == 2 * context_use(trace).cache(0.95).full


@pytest.mark.parametrize("entries", [[0, 7], [0, -1]])
def test_an_entry_that_cannot_be_read_shares_nothing(entries):
    use = context_use(with_context([[at_bins({1: 1.0})] * 2] * 2, entries=entries))
    assert use.cache(0.95) == CacheBytes(4 * TOKENS * 64, 4 * 5 * 64)


def test_a_layer_with_a_sliding_window_has_it_as_its_limit():
    far = at_bins({5: 1.0})
    use = context_use(with_context([[far, far], [far, far]], visible=[10, TOKENS]))
    assert use.limits.tolist() == [10, TOKENS]
    assert use.windows(0.95).tolist() == [[10, 10], [16, 16]]
    assert use.cache(0.95) == CacheBytes((20 + 2 * TOKENS) * 64, (20 + 40) * 64)


def test_heads_without_values_are_not_measured():
    nothing = [np.nan] * len(bin_starts(TOKENS))
    use = context_use(with_context([[at_bins({1: 1.0}), nothing], [nothing, nothing]]))
    assert use.heads == 1
    assert use.windows(0.95).tolist() == [[1, 0], [0, 0]]
    assert np.isnan(use.beyond(0.95)[1]).all()
    assert context_use(with_context([[nothing, nothing]])) is None
    assert with_context([[nothing, nothing]], heads=-1).context_use() is None


def test_a_cache_of_unknown_size_is_not_measured():
    assert context_use(with_context([[at_bins({1: 1.0})] * 2], heads=-1)).cache(0.95) is None


def test_an_earlier_trace_has_no_context():
    assert synthetic(["a", "b"], ["content"] * 2).context_use() is None

"""The trace's table of attention statistics and the kernels' name the same numbers."""

from attentropy.engine.trace.schema import VARIABLES
from attentropy.engine.trace.statistics import ATTENTION_STATISTICS, BY_NAME, KEPT_ATTENTION
from attentropy.kernels.common.statistics import STATISTICS, is_integer
from attentropy.kernels.ops import STATS


def test_both_tables_have_the_same_statistics_but_for_lse():
    computed = tuple(name for name in BY_NAME if name != "lse")
    assert set(computed) == set(STATS) == set(STATISTICS)
    assert len(BY_NAME) == len(ATTENTION_STATISTICS)


def test_positions_of_keys_are_integers_in_both_and_in_the_trace():
    for name, statistic in BY_NAME.items():
        assert statistic.is_key == is_integer(name) == (VARIABLES[name][1] == "i"), name


def test_what_is_recorded_by_default_can_be_recorded():
    assert set(KEPT_ATTENTION) <= set(BY_NAME)
    assert all(need in VARIABLES for one in ATTENTION_STATISTICS for need in one.needs)

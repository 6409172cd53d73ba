"""Local, sink and wide heads, against a count in plain Python."""

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.read.head_kinds import head_kinds
from traces import synthetic


def test_each_head_is_of_one_kind_or_of_none():
    random = np.random.default_rng(3)
    data = synthetic().dataset
    shape = 6, 5
    sink, local, diffuse = random.random((3, *shape))
    local[0, 0] = np.nan
    axes = ("layer", "score_head")
    own = data.drop_vars([name for name in data.variables if "score_head" in data[name].dims])
    trace = Trace(own.assign(
        head_sink=(axes, sink), head_local=(axes, local), head_diffuse=(axes, diffuse)
    ))  # fmt: skip
    counts = {"heads": 0, "sink": 0, "local": 0, "wide": 0}
    for one, near, spread in zip(sink.flat, local.flat, diffuse.flat, strict=True):
        if np.isnan(near):
            continue
        counts["heads"] += 1
        if one > 0.3:
            counts["sink"] += 1
        elif near > 0.9:
            counts["local"] += 1
        elif spread >= 0.5:
            counts["wide"] += 1
    assert vars(head_kinds(trace)) == counts
    assert head_kinds(Trace(own)) is None

"""Sink keys are left out of the inset until the reader asks; a template cell has its placebo."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.sizes import narrow
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

N, LAYERS, SIZE = len(CHAT), 6, narrow(6)


@pytest.fixture(scope="module")
def trace():
    """Return a trace whose first key is a sink of every layer, and has most of the weights."""
    data = synthetic().dataset.copy(deep=True)
    data["window"].values[..., 0] = 0.9
    data["top_key"].values[:] = 0
    others, sinks = np.full(data["top_key"].shape, -1, np.int32), np.zeros((LAYERS, N), np.int32)
    others[..., 1:], sinks[:, 0] = 5, 1
    data = data.assign(
        top_key_without_sinks=(data["top_key"].dims, others),
        sink_keys=(("layer", "position"), sinks),
    )
    data["rehearsal"].values[0, 3, 14] = np.log(0.4)
    data["rehearsal_placebo"].values[0, 3, 14] = np.log(0.02)
    return Trace(data)


def _point(opened, x, share):
    """Move the pointer to a height of the figure's section, and return the tooltip."""
    left, top = opened.corner()
    opened.page.mouse.move(left + x, top + SIZE.overview + SIZE.above + share * SIZE.height)
    opened.quiet()
    return opened.page.inner_text("#details")


def test_the_inset_and_tooltips_leave_sink_keys_out_until_the_reader_asks(open_page, trace):
    where = "#view=attention&a=10&b=14&col=12&row=2"
    opened = open_page(trace, width=420, height=2400, fragment=where)

    def keys():
        tips = [_point(opened, SIZE.inset / 2, (i + 0.5) / 6) for i in range(6)]
        return ["(position 0," in tip for tip in tips]

    assert not any(keys())
    caption = opened.page.inner_text("#caption")
    assert caption.count("besides sink keys") == 2
    opened.page.check("#sinks")
    opened.quiet()
    assert keys() == [True, *[False] * 5]
    assert "besides sink keys" not in opened.page.inner_text("#caption")
    opened.page.uncheck("#sinks")
    opened.page.select_option("#head", "1")
    opened.quiet()
    tip = _point(opened, SIZE.left + SIZE.section * 0.6, 0.6)
    assert "besides sink keys, attends most to" in tip
    assert f"(on the sink key {CHAT[0]})" in tip
    opened.assert_clean()


def test_a_cell_at_a_template_token_has_the_answers_token_and_its_placebo(open_page, trace):
    opened = open_page(trace, width=420, height=2400, fragment="#view=lens&a=12&b=16&col=12&row=2")
    tip = _point(opened, SIZE.left + SIZE.section * 2.5 / 4, 2.5 / 6)
    assert "position 14" in tip
    assert "later in the answer: “Can” 40 % (rank " in tip
    assert ", after placebo questions at most 2 %" in tip
    opened.assert_clean()

"""Tooltips name the word of a token, with what its tokens have in sum and on average."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.sizes import wide
from traces import CHAT, synthetic

pytestmark = pytest.mark.browser

PARTS = [" Aus", "tra", "lia"]
AT = CHAT.index(" Australia")
TOKENS = [*CHAT[:AT], *PARTS, *CHAT[AT + 1 :]]
LAYERS, SHOWN = 6, range(6, 18)


@pytest.fixture(scope="module")
def trace():
    own = synthetic(TOKENS, layers=LAYERS)
    logprob = -np.linspace(0.1, 4, len(TOKENS), dtype=np.float32)
    logprob[0] = np.nan
    numbers = np.full(len(TOKENS), -1, np.int32)
    numbers[5:8], numbers[8 : AT + 3] = 0, 1
    weights = own["window"][:, :, -2:].mean(-2)
    dataset = own.dataset.assign(
        token_logprob=("query", logprob),
        answer_attention=(("layer", "answer_head", "position"), weights),
    ).assign_coords(
        answer_head=np.arange(weights.shape[1], dtype=np.int32), message=("position", numbers)
    )
    return Trace(dataset)


def _lines(opened, row, position):
    (left, top), size = opened.corner(), wide(LAYERS)
    x = left + size.left + (position - SHOWN.start + 0.5) / len(SHOWN) * size.section
    y = top + size.overview + size.above + (LAYERS - 1 - row + 0.12) / LAYERS * size.height
    opened.page.mouse.move(x, y)
    opened.quiet()
    return opened.page.inner_text("#details").splitlines()


def test_a_tooltip_names_the_word_of_a_token(open_page, trace):
    opened = open_page(trace, fragment=f"#a={SHOWN.start}&b={SHOWN.stop}&col=8")
    words = trace.by("word", ["entropy", "lens_entropy"])
    number = int(np.flatnonzero(words["text"].values == " Australia")[0])
    total = float(words["surprisal_sum"][number])
    for position in range(AT, AT + 3):
        own = -float(trace["token_logprob"][position])
        mean = float(words["lens_entropy_mean"][0, 2, number])
        lines = [
            line.translate({0x2068: None, 0x2069: None}) for line in _lines(opened, 2, position)
        ]
        assert lines[-2:] == [
            f"surprisal {own:.3f} nats",
            f"word Australia (3 tokens): surprisal {total:.3f} nats, mean lens entropy "
            f"{mean:.3f} nats",
        ]
    assert not any(line.startswith("word") for line in _lines(opened, 2, AT - 1))
    opened.page.click("[data-view=attention]")
    opened.quiet()
    mean = float(words["entropy_mean"][4].mean("head")[number])
    assert _lines(opened, 4, AT)[-1].endswith(f"mean attention entropy {mean:.3f} nats")
    opened.page.set_viewport_size({"width": 420, "height": 900})
    opened.quiet()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 420
    table = opened.page.locator("#table-messages")
    assert table.is_visible()
    assert table.locator("tbody tr").count() == 3  # two messages, and the template

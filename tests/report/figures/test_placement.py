"""The inset is where the decisive token is predicted, unless a rehearsal was found."""

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.export.export import export
from attentropy.report.figures.placement import place
from traces import CHAT, chat_roles, synthetic

PROMPT = len(CHAT)


def _answered(answer, window=False):
    """Return a trace of an answer, in which no rehearsal is found."""
    roles = [*chat_roles(list(CHAT)), *["generated"] * len(answer)]
    data = synthetic((*CHAT, *answer), roles, generated=answer, window=window).dataset
    data["rehearsal"].values[:], data["rehearsal_rank"].values[:] = -9, 900
    facts = {"tokens": PROMPT, "chat": True}
    return Trace(data.assign_attrs(prompt=facts, answer="".join(answer).strip()))


@pytest.mark.parametrize("words", [0, 3, 40])
def test_the_section_has_the_position_before_the_decisive_token(words):
    placed = place(_answered((*[" the"] * words, " Can", "berra", *[" of"] * 9)), 12)
    assert placed.column == PROMPT + words - 1
    assert placed.start <= placed.column < placed.stop
    assert placed.stop - placed.start == 12


def test_a_rehearsal_that_was_found_goes_first():
    trace = _answered((" the", " Perth"))
    assert place(trace, 12).column == PROMPT
    trace = _answered((" the", " Perth"))
    trace.dataset["rehearsal"].values[0, 2, 14] = np.log(0.5)
    trace.dataset["rehearsal_rank"].values[0, 2, 14] = 0
    assert place(trace, 12).column == 14


def test_where_the_lens_did_not_read_it_the_inset_is_the_prompts_last_position():
    trace = _answered((" the", " of", " Perth", "."))
    trace.dataset["lens_entropy"].values[0, :, PROMPT + 1] = np.nan
    assert place(trace, 12).column == PROMPT - 1
    alone = Trace(trace.dataset.drop_vars([n for n in trace if "lens" in n or "rehears" in n]))
    assert place(alone, 12).column == PROMPT - 1


def test_a_section_of_ones_own_has_the_inset():
    trace = _answered((" the", " Perth", "."))
    assert place(trace, 12, (2, 9)).column == 8
    assert place(trace, 12, (2, 19)).column == PROMPT


def test_a_figure_of_attention_opens_where_exact_weights_are():
    data = _answered((" the", " Perth", "."), window=True).dataset
    keep = {"window_query": slice(PROMPT), "window_key": slice(PROMPT)}
    trace = Trace(data.isel(keep))
    assert f"of position {PROMPT - 1} " in export(trace, "attention").caption
    assert f"position {PROMPT} (_the) magnified" in export(trace, "lens").caption

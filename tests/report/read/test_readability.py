"""Which layers' lens can be read, in kinds and in words."""

from __future__ import annotations

import numpy as np
import pytest

from attentropy import compare
from attentropy.engine.trace.lens_skill import LensSkill
from attentropy.report.read.readability import (
    PALE,
    UNKNOWN,
    UNREADABLE,
    WELL,
    Readability,
    readability,
    skill_words,
)
from skilled import MIXED, skilled

LABELS = [str(i) for i in range(8)]


def lens(*skills, positions=20):
    values = np.array(skills)
    return Readability((LensSkill(values, np.clip(values, 0, 1), positions),))


def test_a_row_at_zero_is_unreadable_and_one_at_a_half_is_read_as_it_is():
    kinds = lens(-3.0, 0.0, 0.001, 0.499, 0.5, 1.0, np.nan).kinds
    assert kinds == [UNREADABLE, UNREADABLE, PALE, PALE, WELL, WELL, UNKNOWN]


@pytest.mark.parametrize(
    ("skills", "title"),
    [
        ((0.8, 0.9, 1.0), "lens readable in all 3 layers"),
        ((0.0, 0.2, 1.0), "lens readable in layer 2 of 3"),
        ((0.9, -0.2, 0.3, 0.8, 1.0), "lens readable in layers 0 and 3–4 of 5"),
        ((0.9, -0.2, 0.6, 0.1, 1.0), "lens readable in layers 0, 2 and 4 of 5"),
        ((-1.0, 0.4), "lens readable in none of 2 layers"),
        ((np.nan, -1.0, np.nan, 1.0), "lens readable in layer 3 of 2"),
        ((1.0,), "lens readable in its one layer"),
    ],
)
def test_the_title_says_where_the_lens_is_readable(skills, title):
    assert lens(*skills).title(LABELS) == title.replace("layer 3 of 2", "layer 3 of 2 read")


def test_few_positions_are_said_with_their_number():
    assert lens(1.0, positions=16).title(LABELS) == "lens readable in its one layer"
    title = lens(0.1, 1.0, positions=15).title(LABELS)
    assert title == "lens readable in layer 1 of 2 (few positions: 15)"


def test_the_caption_names_faded_and_dotted_layers():
    words = lens(*MIXED).sentences(LABELS)
    assert words == (
        " Lens readable in layers 6–7 of 8; faded: layers 4–5 (skill under 0.5, colours "
        "only as a bar below the text); dotted: layers 0–3, further from the model's output than a "
        "uniform guess. Bars at the right: lens skill in each layer."
    )
    assert "faded" not in lens(0.9, 1.0).sentences(LABELS)
    assert "dotted" not in lens(0.9, 1.0).sentences(LABELS)


def test_a_row_in_words_has_skill_agreement_and_positions():
    assert skill_words(lens(-1.25, 1.0), 0) == ("lens skill −1.25 (agreement 0.00), 20 positions")
    assert skill_words(lens(np.nan, 1.0), 0) == ""
    assert "few positions: 3 positions" not in skill_words(lens(1.0, positions=3), 0)
    assert skill_words(lens(1.0, positions=3), 0).endswith("few positions: 3")


def test_a_trace_and_both_sides_of_a_difference():
    own = readability(skilled(), "residual")
    np.testing.assert_allclose(own.skill, MIXED, atol=1e-5)
    other = skilled((0.9,) * 8, seed=1)
    both = readability(compare(skilled(), other), "residual")
    assert len(both.sides) == 2
    np.testing.assert_allclose(both.skill, np.minimum(MIXED, 0.9), atol=1e-5)
    assert "in both" in both.title(LABELS)
    assert skill_words(both, 0).startswith("lens skill A −1.20 (")


def test_no_readability_where_one_side_does_not_measure_it():
    bare = skilled(seed=1)
    bare = type(bare)(bare.dataset.drop_vars("lens_kl"))
    assert readability(bare, "residual") is None
    assert readability(compare(skilled(), bare), "residual") is None

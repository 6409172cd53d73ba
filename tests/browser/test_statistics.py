"""Each selected statistic and site has the trace's colours and numbers in a real browser."""

import numpy as np
import pytest

from attentropy.report.figures.sizes import wide
from attentropy.report.palette import MISSING
from attentropy.report.read import views
from attentropy.report.read.plane_statistics import offered_statistics
from attentropy.report.read.views import read_view
from attentropy.report.scale import Scale
from traces import CHAT, sited, synthetic

pytestmark = pytest.mark.browser

LAYERS, HEADS, N = 6, 3, len(CHAT)
SHOWN = range(2, 14)


@pytest.fixture(scope="module")
def trace():
    return sited()


def _point(opened, row, position, rows):
    """Return a point of a cell of the section, above the cell's text."""
    (left, top), size = opened.corner(), wide(LAYERS)
    x = left + size.left + (position - SHOWN.start + 0.5) / len(SHOWN) * size.section
    return x, top + size.overview + size.above + (rows - 1 - row + 0.2) / rows * size.height


def _assert_colours(opened, values, scale):
    """Assert that the cells of the section have the colours of the values [row, position]."""
    opened.page.mouse.move(1, 1)  # the tooltip would cover cells
    opened.quiet()
    rows, positions = np.meshgrid(np.arange(len(values)), SHOWN, indexing="ij")
    pixels, (x, y) = opened.pixels(), _point(opened, rows, positions, len(values))
    expected = scale.colors(values[rows, positions]).astype(int)
    cells = pixels[y.round().astype(int), x.round().astype(int)]
    np.testing.assert_allclose(cells, expected, atol=3)


def _hover(opened, row, position, rows=LAYERS):
    opened.page.mouse.move(*_point(opened, row, position, rows))
    opened.quiet()
    return opened.page.inner_text("#details")


def test_each_statistic_and_site_has_the_colours_and_the_numbers_of_the_trace(open_page, trace):
    where = f"a={SHOWN.start}&b={SHOWN.stop}&col=5&row=1"
    hostile = "#view=attention&stat=constructor&site=__proto__&"
    opened = open_page(trace, fragment=hostile + where)
    scales = {
        (name, s.name): s.scale
        for name in ("lens", "attention")
        for s in offered_statistics(trace, read_view(trace, name))
    }
    means = {name: trace[name].mean(1) for name in ("entropy", "distance", "sink_mass", "max_prob")}
    with np.errstate(divide="ignore", invalid="ignore"):
        visible = trace["visible"]
        shares = np.where(visible < 2, np.nan, means["entropy"] / np.log(visible))

    _assert_colours(opened, means["entropy"], Scale(0.0, float(np.log(N))))
    assert "stat=entropy&site=residual" in opened.address()
    for stat, values in (("distance", means["distance"]), ("normalized_entropy", shares)):
        opened.page.select_option("#stat", stat)
        _assert_colours(opened, values, scales["attention", stat])
    assert f"normalized entropy {shares[4, 9]:.3f}, " in _hover(opened, 4, 9)
    assert f"entropy {means['entropy'][4, 9]:.3f} nats" in opened.page.inner_text("#details")
    opened.page.select_option("#stat", "distance")
    assert f"mean distance {means['distance'][1, 5]:.3f} tokens" in opened.page.inner_text("#live")
    assert "dark blue 16.0 tokens (far) on a logarithmic scale" in opened.page.inner_text(
        "#caption"
    )

    opened.page.select_option("#head", "1")
    _assert_colours(opened, trace["distance"][:, 1], scales["attention", "distance"])
    opened.page.select_option("#rows", "heads")
    opened.page.select_option("#layer", "2")
    opened.page.select_option("#stat", "sink_mass")
    _assert_colours(opened, trace["sink_mass"][2], scales["attention", "sink_mass"])
    opened.page.select_option("#stat", "max_prob")
    assert f"largest weight {trace['max_prob'][2, 1, 8]:.3f}" in _hover(opened, 1, 8, HEADS)

    opened.page.click("[data-view=lens]")
    assert opened.page.input_value("#stat") == "entropy"  # the lens has no largest weight
    opened.page.select_option("#stat", "lens_rank")
    ranks = np.where(trace["lens_rank"] < 0, np.nan, trace["lens_rank"] + 1.0)
    _assert_colours(opened, ranks[0], scales["lens", "lens_rank"])
    assert f"rank of the model's prediction {int(ranks[0, 3, 8])}\n" in _hover(opened, 3, 8)
    opened.page.select_option("#site", "mlp")
    _assert_colours(opened, ranks[1], scales["lens", "lens_rank"])
    opened.page.select_option("#stat", "lens_kl")
    tooltip = _hover(opened, 3, 8)
    assert f"KL to the last layer {trace['lens_kl'][1, 3, 8]:.3f} nats" in tooltip
    top_token = trace.text_of(trace["lens_top_ids"][1, 3, 8])[0].strip()
    shown = np.exp(trace["lens_top_logprobs"][1, 3, 8, 0]) * 100
    first = opened.page.inner_text("#details-top-list li")
    assert f"{shown:.1f}\u00a0%" in first
    assert top_token in first
    assert "of the MLP block's output alone" in opened.page.inner_text("#caption")
    assert "Colour: dark blue 0.0 (as the output), light blue " in opened.page.inner_text(
        "#caption"
    )
    opened.page.select_option("#palette", "cividis")
    assert "Colour: dark blue 0.0 (as the output), grey " in opened.page.inner_text("#caption")
    opened.page.select_option("#palette", "diverging")

    # The address restores the same view, and a finding selects its own statistic.
    assert "stat=lens_kl&site=mlp" in opened.address()
    opened.page.reload()
    opened.settle()
    _assert_colours(opened, trace["lens_kl"][1], scales["lens", "lens_kl"])
    findings = opened.page.locator("[data-finding]").count()
    kinds = set()
    for i in range(findings):
        opened.page.locator("[data-finding]").nth(i).click()
        kinds.add((opened.page.input_value("#stat"), opened.page.input_value("#site")))
    assert ("normalized_entropy", "residual") in kinds
    assert {site for _, site in kinds} == {"residual"}
    assert opened.errors == []
    assert opened.violations() == []


def test_the_translated_lens_is_named_and_its_box_says_nothing_of_rehearsal(open_page):
    opened = open_page(sited(second="translated"), fragment="#view=lens")
    page = opened.page
    assert "Blue box: rehearsal at template tokens" in page.inner_text("#caption")
    assert page.locator("#site option").all_inner_texts() == ["residual stream", "translated lens"]
    page.select_option("#site", "translated")
    opened.quiet()
    caption = page.inner_text("#caption")
    words = "(translated lens: predicts the next token; cannot show rehearsal)"
    assert words in caption
    assert "Blue box: template tokens" in caption
    assert caption.count("rehearsal") == 1
    page.keyboard.press("p")
    assert "translated output" not in page.inner_text("body")
    assert opened.errors == []


def test_a_signed_view_has_white_at_zero_and_its_ends_beyond_its_scale(open_page, monkeypatch):
    trace = synthetic()
    values = trace.dataset["lens_entropy"].values
    values[0] = np.linspace(-4, 4, LAYERS * N).reshape(LAYERS, N)
    values[0, 2, 5:8] = 0.0
    values[0, 3, 6] = np.nan
    signed = Scale(-2.0, 2.0, "nats", 1, "diverging")
    monkeypatch.setattr(views, "entropy_scale", lambda trace, name, ends: signed)
    opened = open_page(trace, fragment=f"#view=lens&a={SHOWN.start}&b={SHOWN.stop}&col=5")
    _assert_colours(opened, values[0], signed)
    assert tuple(signed.colors(np.zeros(1))[0]) == (0xF7, 0xF7, 0xF7)
    assert tuple(signed.colors(np.array([np.nan]))[0]) == tuple(
        int(MISSING[i : i + 2], 16) for i in (1, 3, 5)
    )
    assert "white 0.0 (no difference), red +2.0 nats" in opened.page.inner_text("#caption")

"""The box of the template tokens in an exported figure, and its caption."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

import attentropy
from attentropy.engine.errors import UsageError
from attentropy.report.export.fonts import widths
from grids import diagonal, pairwise
from long_traces import long
from traces import synthetic

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def trace():
    return synthetic()


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_the_template_box_can_be_left_out(trace, figure):
    framed = attentropy.export(trace, figure)
    plain = attentropy.export(trace, figure, template_box=False)
    caption = {"lens": "Rehearsal at template tokens", "attention": "Template tokens after"}[figure]
    assert caption in framed.data.decode()
    assert "Blue box: " + caption[0].lower() in framed.caption
    assert "emplate tokens after" not in plain.data.decode().split("</desc>")[1]
    assert "Rehearsal at" not in plain.data.decode().split("</desc>")[1]
    assert "Blue box" not in plain.caption
    with pytest.raises(UsageError, match=r"template.box"):
        attentropy.export(trace, "map", template_box=False)


@diagonal({"section": ["0:2", "0:15", "12:17"], "width": [60, 85, 180]})
def test_the_caption_of_the_template_box_is_never_cut(trace, width, section):
    picture = attentropy.export(trace, "lens", width=width, section=section).data.decode()
    root = ElementTree.fromstring(picture)
    sheet = float(root.get("viewBox").split()[2])
    captions = [text for text in root.iter() if (text.text or "").startswith("Rehearsal at")]
    if section != "0:2":  # the section shows a part of the box
        assert captions
    for caption in captions:
        # Where the figure is narrow, the numbers are in the caption below it alone.
        assert caption.text.endswith("%)") or caption.text == "Rehearsal at template tokens"
        assert caption.text.endswith("%)") or width < 180
        right = _x_on_page(root, caption)
        size = float(caption.get("font-size").removesuffix("px"))
        assert right <= sheet
        assert right - 0.62 * size * len(caption.text) >= 0


@pairwise({"tokens": [17, 200], "width": [85, 180], "theme": ["light", "dark"]})
def test_the_box_and_its_whole_caption_are_drawn_or_left_out(trace, tokens, width, theme):
    shown = trace if tokens == 17 else long(200, layers=3, heads=3, read=200, window=16)
    assert len(shown.tokens) == tokens
    choices = {"width": width, "theme": theme}
    framed, plain = (
        ElementTree.fromstring(
            attentropy.export(shown, "lens", template_box=box, **choices).data.decode()
        )
        for box in (True, False)
    )
    captions, none = (
        [text for text in root.iter() if re.match("Rehearsal at|Template", text.text or "")]
        for root in (framed, plain)
    )
    assert none == []
    (caption,) = captions
    font = float(caption.get("font-size").removesuffix("px"))
    right = _x_on_page(framed, caption)
    assert right <= float(framed.get("viewBox").split()[2])
    # Bold text is at most a tenth wider.
    assert right - 1.1 * widths([caption.text])[caption.text] * font >= 0


def _x_on_page(root, wanted):
    """Return where a text is anchored, from the left edge of the picture."""
    parents = {child: parent for parent in root.iter() for child in parent}
    x, node = 0.0, wanted
    while node is not None:
        for shift in re.findall(r"translate\(([-\d.]+)", node.get("transform", "")):
            x += float(shift)
        node = parents.get(node)
    return x

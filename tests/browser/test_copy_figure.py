"""A button copies headline, figure and caption as one picture, or saves it where it must not."""

import base64
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from answers import answered

pytestmark = pytest.mark.browser

# Stands in for the clipboard, whose pictures a test cannot read back; keeps what is written.
_CLIPBOARD = """
window.copied = null;
window.ClipboardItem = class { constructor(content) { this.content = content; } };
Object.defineProperty(navigator, 'clipboard', { value: { write: async ([item]) => {
  const blob = await item.content['image/png'];
  const bytes = new Uint8Array(await blob.arrayBuffer());
  window.copied = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
} } });
"""
_REFUSED = """
Object.defineProperty(navigator, 'clipboard', { value: { write: async () => {
  throw new DOMException('not here', 'NotAllowedError');
} } });
"""


def _ink(image, top, bottom):
    """Return the share of pixels between two heights that are not paper."""
    values = np.asarray(image.convert("RGB")).astype(int)
    part = values[int(top * image.height) : int(bottom * image.height)]
    return float((np.abs(part - values[0, 0]).max(-1) > 40).mean())


def test_the_button_copies_headline_figure_and_caption(open_page):
    opened = open_page(answered())
    page = opened.page
    page.evaluate(_CLIPBOARD)
    page.click("#copy-figure")
    page.wait_for_selector("#copy-note:not(:empty)")
    image = Image.open(io.BytesIO(base64.b64decode(page.evaluate("window.copied"))))
    width = float(page.get_attribute("#canvas canvas", "data-width"))
    assert image.width == pytest.approx(2 * (width + 24), abs=2)
    assert _ink(image, 0.0, 0.07) > 0.005  # the headline
    assert _ink(image, 0.2, 0.7) > 0.2  # the figure
    assert _ink(image, 0.93, 0.99) > 0.005  # the end of the caption
    assert page.inner_text("#copy-note") == "Copied as PNG."
    opened.assert_clean()


def test_a_refused_picture_is_saved_instead(open_page):
    opened = open_page(answered())
    page = opened.page
    page.evaluate(_REFUSED)
    with page.expect_download() as download:
        page.click("#copy-figure")
    assert download.value.suggested_filename == "attentropy-figure.png"
    image = Image.open(download.value.path())
    assert image.format == "PNG"
    assert image.width > 1000
    opened.assert_clean()


def test_the_svg_has_real_text_and_names_model_and_version(open_page):
    opened = open_page(answered())
    page = opened.page
    with page.expect_download() as download:
        page.click("#save-figure")
    assert download.value.suggested_filename == "attentropy-figure.svg"
    root = ElementTree.parse(download.value.path()).getroot()
    own = [e for e in root if e.tag.endswith("text")]
    text = " ".join("".join("".join(e.itertext()) for e in own).split())
    headline = " ".join(page.inner_text("h1").split())
    assert "".join(headline.split()) in "".join(text.split())
    caption = page.evaluate("document.querySelector('#caption').textContent")
    assert "".join(caption.split()) in "".join(text.split())
    assert "Model: synthetic" in text
    assert "Made with attentropy" in text
    opened.assert_clean()

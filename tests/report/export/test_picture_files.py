"""A figure's files: sizes, fonts, facts in them, and the same picture and bytes in all of them."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import attentropy
from attentropy.report import vega
from attentropy.report.export.pdf import normalize_pdf
from programs import run
from traces import synthetic

pytestmark = pytest.mark.costly


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def mean_difference(a, b):
    """Return the mean difference of two pictures, in units of 1/255, after a blur of two pixels.

    The blur hides that renderers place letters differently by less than two pixels.
    """
    height, width = (min(x, y) // 2 * 2 for x, y in zip(a.shape[:2], b.shape[:2], strict=True))
    small = [
        p[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)) for p in (a, b)
    ]
    return np.abs(small[0] - small[1]).mean()


def test_an_svg_says_its_width_and_what_it_shows(documents):
    root = ElementTree.fromstring(documents["svg"].data)
    assert root.get("width") == "180mm"
    own, high = (float(n) for n in root.get("viewBox").split()[2:])
    assert float(root.get("height").removesuffix("mm")) == pytest.approx(180 * high / own, rel=1e-3)
    title, description = list(root)[:2]
    assert title.text == documents["svg"].title
    assert description.text == documents["svg"].caption


@pytest.mark.parametrize(("width", "points"), [(180, 7), (180, 9), (85, 7), (120, 6)])
def test_labels_have_the_asked_for_size_in_print(trace, width, points):
    root = ElementTree.fromstring(
        attentropy.export(trace, "lens", width=width, font_size=points).data
    )
    unit = width / 25.4 * 72 / float(root.get("viewBox").split()[2])
    sizes = {
        " ".join(text.itertext()): float(text.get("font-size").removesuffix("px")) * unit
        for text in root.iter("{http://www.w3.org/2000/svg}text")
    }
    for label in ("Entropy (nats)", "layer", "0.0"):
        assert sizes[label] == pytest.approx(points, rel=0.01)


def test_a_png_says_its_dots_an_inch_and_its_caption(documents):
    image = Image.open(io.BytesIO(documents["png"].data))
    assert image.width == pytest.approx(180 / 25.4 * 100, abs=1)
    assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
    assert image.info["Description"] == documents["png"].caption


def test_text_in_a_pdf_is_text_in_fonts_that_the_file_holds(documents, trace, tmp_path):
    file = tmp_path / "fig.pdf"
    file.write_bytes(documents["pdf"].data)
    pdf_text = run("pdftotext", file, "-").decode()
    for text in ("Entropy (nats)", "layer", "_Aust", "Rehearsal", *trace.text_of([100])):
        assert text.strip() in pdf_text
    fonts = run("pdffonts", file).decode().splitlines()[2:]
    assert fonts
    assert all(line.split()[-5] == "yes" for line in fonts)
    info = run("pdfinfo", file).decode()
    wide = float(re.search(r"Page size: +([\d.]+) x", info)[1])
    assert wide == pytest.approx(180 / 25.4 * 72, abs=0.01)
    assert documents["pdf"].caption[:60] in info


def test_all_pictures_are_the_same_picture(trace, tmp_path):
    def drawn(format, trace=trace):  # without running text, whose letters differ by more
        return attentropy.export(trace, "lens", format, dpi=150, caption=False).data

    for format in ("svg", "pdf"):
        (tmp_path / f"fig.{format}").write_bytes(drawn(format))
    ours = pixels(drawn("png"))
    across = str(ours.shape[1])
    run("pdftoppm", "-png", "-singlefile", "-scale-to-x", across, "-scale-to-y", "-1",
        tmp_path / "fig.pdf", tmp_path / "pdf")  # fmt: skip
    poppler = pixels((tmp_path / "pdf.png").read_bytes())
    rsvg = pixels(run("rsvg-convert", "-w", across, tmp_path / "fig.svg"))
    # Another picture, palette or section differs by more than 12, edges and letters by less than 4.
    other = pixels(drawn("png", synthetic(seed=1)))
    assert mean_difference(ours, rsvg) < 4
    assert mean_difference(ours, poppler) < 4
    assert mean_difference(ours, other) > 12


@pytest.mark.usefixtures("converted_again")
def test_the_same_trace_gives_the_same_bytes(documents, trace):
    for format in ("svg", "pdf", "csv"):
        assert attentropy.export(trace, "lens", format).data == documents[format].data


def test_a_pdf_is_set_in_order_whatever_order_it_came_in():
    def document(first, second):
        bodies = {
            1: b"<<\n  /Pages 2 0 R\n>>",
            2: b"<<\n  /Kids [%d 0 R]\n>>" % first,
            first: b"<<\n  /Font <<\n    /f1 %d 0 R\n    /f0 %d 0 R\n  >>\n>>" % (second, second),
            second: b"<<\n  /Length 9\n>>\nstream\n1 0 R\xff\x00\nx\nendstream",
        }
        out, at = b"%PDF-1.7\n%\n\n", {}
        for number, body in bodies.items():
            at[number] = len(out)
            out += b"%d 0 obj\n%s\nendobj\n\n" % (number, body)
        table = b"".join(b"%010d 00000 n\r\n" % at[number] for number in (1, 2, 3, 4))
        start = len(out)
        out += b"xref\n0 5\n0000000000 65535 f\r\n" + table
        return out + b"trailer\n<<\n  /Size 5\n  /Root 1 0 R\n>>\nstartxref\n%d\n%%%%EOF" % start

    one, other = (normalize_pdf(document(*order), "t", "é) \\") for order in ((3, 4), (4, 3)))
    assert one == other
    assert b"stream\n1 0 R\xff\x00\nx\nendstream" in one
    assert b"/Subject <FEFF00e9" in one


def test_a_pdf_has_a_number_for_what_cannot_be_embedded(tmp_path, monkeypatch):
    convert = vega.to_pdf

    def without_emoji(picture):  # fails on emoji, whichever fonts are installed
        if "🌈" in picture or "👩" in picture:
            raise RuntimeError("the font holds pictures")
        return convert(picture)

    monkeypatch.setattr(vega, "to_pdf", without_emoji)
    tokens = ["a", "🌈", "👩\u200d🌈", "日本", "مرحبا", "é", "b"]
    trace = synthetic(tokens, ["content"] * len(tokens), words=tokens)
    file = tmp_path / "fig.pdf"
    file.write_bytes(attentropy.export(trace, "lens", "pdf").data)
    pdf_text = run("pdftotext", file, "-").decode()
    for text in ("é", "b", "U+1F308", "U+1F469U+1F308", f"all {len(tokens)} positions"):
        assert text in pdf_text
    assert "□" not in pdf_text

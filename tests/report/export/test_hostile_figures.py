"""Exported figures of a hostile trace show every string, and no string runs or is a formula."""

import csv
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

import attentropy
from attentropy.engine.trace.text import text_array
from attentropy.report.export.csv_table import CsvTable
from attentropy.report.text import for_tooltip, shorten
from hostile import STRINGS, hostile_trace
from programs import run

pytestmark = pytest.mark.costly

MARKUP = '</text></svg><script>alert(1)</script><image href="https://evil.example/x.png"/>'
ALL = [*STRINGS, MARKUP, "=1+1", "@x", "+1", "-2"]
TOKENS = [str(text) for text in text_array(ALL)]
LAYERS = 32  # enough rows for a section of columns wide enough for texts to show all strings
ISOLATES = str.maketrans("", "", "\u2068\u2069")
FIGURES = ("lens", "attention", "map")


@pytest.fixture(scope="module")
def documents(drawn_once):
    """Export each figure in each format.

    The cells of the lens's section show every string.
    """
    n = len(ALL)
    full = hostile_trace(ALL, layers=LAYERS, heads=1, words=TOKENS)
    full.dataset["lens_top_ids"].values[0, ..., 0] = (
        100 + np.arange(LAYERS * n).reshape(n, -1).T % n
    )
    small = hostile_trace(ALL, window=True)
    files = {}
    with drawn_once():
        for format in ("svg", "png", "pdf", "csv"):
            section = (0, -(-n // LAYERS))
            files["lens", format] = attentropy.export(full, "lens", format, section=section, dpi=60)
            files["attention", format] = attentropy.export(small, "attention", format, dpi=60)
            if format != "csv":  # the CSV of a map has no text
                files["map", format] = attentropy.export(small, "map", format, dpi=60)
    return files


@pytest.mark.parametrize("figure", FIGURES)
def test_a_picture_of_hostile_strings_holds_text_and_nothing_that_runs(figure, documents, tmp_path):
    document = documents[figure, "svg"]
    root = ElementTree.fromstring(document.data)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not names & {"script", "foreignObject", "a", "use", "style", "animate", "set"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.rpartition("}")[2].startswith("on")
            if name.endswith("href"):
                assert value.startswith("data:image/png;base64,")
            assert "javascript:" not in value
            assert not re.search(r"url\((?!#)", value)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e]", document.caption)
    (tmp_path / "f.svg").write_bytes(document.data)
    run("rsvg-convert", "-w", 400, tmp_path / "f.svg", "-o", tmp_path / "f.png")
    for data in ((tmp_path / "f.png").read_bytes(), documents[figure, "png"].data):
        Image.open(io.BytesIO(data)).load()


@pytest.mark.parametrize("figure", FIGURES)
def test_a_pdf_of_hostile_strings_opens_and_says_its_caption(figure, documents, tmp_path):
    file = tmp_path / "f.pdf"
    file.write_bytes(documents[figure, "pdf"].data)
    assert len(run("pdftotext", file, "-").split()) > 10
    assert documents[figure, "pdf"].caption[:40] in run("pdfinfo", file).decode()
    assert not re.search(
        rb"/(JavaScript|JS|OpenAction|AA|URI|Launch|EmbeddedFile)\b", file.read_bytes()
    )


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_every_hostile_string_is_drawn_and_none_is_a_formula(figure, documents):
    rows = list(csv.DictReader(io.StringIO(documents[figure, "csv"].data.decode(), newline="")))
    texts = {for_tooltip(text) for text in TOKENS}
    assert {_guarded(text) for text in texts} <= {row["token"] for row in rows}
    if figure == "lens":
        texts = {shorten(text, 120).translate(ISOLATES) for text in TOKENS}
        assert {_guarded(text) for text in texts} <= {row["top token"] for row in rows}
    assert {"'=1+1", "'@x", "'+1", "'-2"} <= {row["token"] for row in rows}
    cells = [text for row in rows for text in row.values() if text]
    assert not [text for text in cells if text[0] in "=+-@\t\r" and not _is_number(text)]


def _guarded(text):
    return f"'{text}" if text[0] in "=+-@" else text


def _is_number(text):
    return re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", text) is not None


def test_a_cell_that_a_spreadsheet_would_run_is_guarded_as_on_the_page():
    texts = ["=1", "+1", "-1", "@a", "\tx", "\rx", "a=1", "'x", " =1"]
    data = CsvTable(("text", "value"), [(text, -1.5) for text in texts]).encode()
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    wanted = [f"'{text}" for text in texts[:6]] + texts[6:]
    assert [row["text"] for row in rows] == wanted
    assert {row["value"] for row in rows} == {"-1.5"}

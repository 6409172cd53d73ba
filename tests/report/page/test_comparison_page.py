"""The page of two traces describes both, keeps within its size, and escapes all text."""

import base64
import json
import re

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.cli import main
from attentropy.report.compare.difference import compare
from attentropy.report.content.difference_words import difference_words
from attentropy.report.findings.compared import observe
from attentropy.report.findings.side_means import by_layer
from attentropy.report.page.page import render
from attentropy.report.read.curves import difference_curves
from attentropy.report.read.views import read_view
from attentropy.report.text import shorten_pair, stack_pair
from long_traces import long
from traces import CHAT, synthetic

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def of():
    second = [*CHAT[:7], " <u>a</u>", *CHAT[7:]]
    numbers = {text: i for i, text in enumerate(dict.fromkeys([*CHAT, *second]))}
    sides = []
    for seed, tokens in enumerate((CHAT, second)):
        trace = synthetic(tokens, seed=seed)
        ids = np.array([numbers[text] for text in tokens], np.int32)
        sides.append(Trace(trace.dataset.assign_coords(token_ids=("position", ids))))
    sides[1].dataset.attrs["model"] = sides[1].attrs["model"] | {"dtype": "<i>bf16</i>"}
    return compare(*sides, ("a.zarr", "b<script>.zarr"))


@pytest.fixture(scope="module")
def page(of):
    return render(of, observe(of))


@pytest.mark.usefixtures("converted_again")
def test_the_page_is_the_same_bytes_again_and_nothing_in_it_is_unescaped(of, page):
    again = compare(of.a, of.b, of.names)
    assert render(again, observe(again)) == page
    for text in ("<u>a</u>", "<i>bf16</i>", "b<script>"):
        assert text not in page
    assert "<ins" in page
    assert "&lt;u&gt;a&lt;/u&gt;</ins>" in page


def test_provenance_marks_what_differs(page):
    marked = {name: mark for mark, name in re.findall(
        r'<tr( class="differs")?><th scope="row">(?:<span[^>]*>≠</span> )?(model: \w+)</th>', page
    )}  # fmt: skip
    assert marked["model: dtype"]
    assert not marked["model: layers"]


def test_the_table_of_the_layers_holds_both_and_their_difference(of, page):
    words = difference_words(of, read_view(of, "lens"), [str(i) for i in range(6)])
    for view_name, column in (("lens", 0), ("attention", 1)):
        means = by_layer(of, view_name)
        for row in words.by_layer.rows:
            layer = int(row.label)
            wanted = [means.a[layer], means.b[layer], means.change[layer]]
            numbers = [float(text.replace("−", "-")) for text in row.cells[column]]
            np.testing.assert_allclose(numbers, wanted, atol=6e-4)
            assert row.cells[column][2] in page


def test_the_scale_is_symmetric_and_names_zero(of, page):
    shown = read_view(of, "lens")
    assert shown.scale.low == -shown.scale.high
    inside = np.abs(shown.values[np.isfinite(shown.values)]) <= shown.scale.high
    assert inside.mean() >= 0.99
    assert "white 0.00 (no difference)" in page
    assert "99.5th percentile" in page
    assert read_view(compare(of.a, of.a), "lens").scale.high == 1.0


@pytest.mark.parametrize(
    ("one", "other", "letters", "label"),
    [
        (" the", " the", 8, "_the"),
        ("France", "Canada", 13, "Fran…→Canada"),
        ("Sydney", "New", 11, "Sydney→New"),
        ("Oslo", "Australia", 13, "Oslo→Austra…"),
        ("Sydney", "New", 5, "≠"),
    ],
)
def test_a_cell_names_both_tokens_where_they_differ(one, other, letters, label):
    assert shorten_pair(one, other, letters) == label


@pytest.mark.parametrize(
    ("one", "other", "letters", "lines"),
    [
        (" the", " the", 7, "_the"),
        ("Can", "New", 8, "Can→New"),
        ("France", "New", 7, ["France", "New"]),
        ("Australia", "Canada", 7, ["Austra…", "Canada"]),
    ],
)
def test_a_telephones_inset_has_the_one_over_the_other(one, other, letters, lines):
    assert stack_pair(one, other, letters) == lines


def test_no_cell_of_a_telephones_still_picture_says_only_that_both_differ(page):
    narrow = re.search(r'class="narrow lit" hidden src="data:image/svg\+xml;base64,([^"]+)"', page)
    picture = base64.b64decode(narrow[1]).decode()
    assert "≠" not in picture
    assert re.search(r"<tspan[^>]*>[^<]+</tspan><tspan", picture)


def test_a_long_difference_fits_into_its_bytes_with_a_gap_in_the_middle():
    a = long(3000, layers=2, heads=2)
    b = Trace(a.dataset.isel(position=slice(0, 2600), query=slice(0, 2600)))
    of = compare(b, a)
    assert of.both.sum() == 2600
    attention = planes.read_attention(of)
    text = render(of, observe(of), attention=attention, max_bytes=1_200_000)
    assert len(text.encode()) <= 1_200_000
    assert (read_view(of, "attention", attention).values[:, :2600] == 0).all()
    with pytest.raises(UsageError, match="`max_bytes` must be larger than"):
        render(of, observe(of), attention=attention, max_bytes=10_000)


def test_the_command_writes_the_page_and_says_what_differs(of, tmp_path, capsys):
    paths = [str(t.save(tmp_path / f"{n}.zarr.zip")) for n, t in (("a", of.a), ("b", of.b))]
    target = str(tmp_path / "out.html")
    assert main(["compare", *paths, "-o", target, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["in_both"] == len(CHAT)
    assert summary["columns"] == len(CHAT) + 1
    assert {o["id"] for o in summary["observations"]} >= {"answer", "lens_change", "heads"}
    assert "a.zarr.zip" in (tmp_path / "out.html").read_text("utf-8")
    assert main(["compare", *paths, "-o", target]) == 2
    assert "exists; use --force" in capsys.readouterr().err

    other = str(synthetic(layers=3).save(tmp_path / "c.zarr.zip"))
    assert main(["compare", paths[0], other, "-o", str(tmp_path / "none.html")]) == 2
    assert capsys.readouterr().err == "error: different layer counts (6 and 3) cannot be compared\n"
    assert not (tmp_path / "none.html").exists()


_HYPHEN = re.compile(r"(?<![\w.)/:\u2026-])-\d")  # before a number: a minus that is a hyphen


def _words(page):
    """Return the visible text of a page besides token texts and provenance."""
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.S)
    body = body.split('id="section-provenance"')[0]
    return re.sub(r"<[^>]+>", " ", body)


def test_every_minus_is_a_minus(of, page):
    text = _words(page)
    assert "−" in text
    assert _HYPHEN.findall(text) == []
    assert [f for f in observe(of) if _HYPHEN.search(f.text)] == []


def test_the_change_by_layer_is_a_chart_of_the_tables_means(of, page):
    views = [read_view(of, name) for name in ("lens", "attention")]
    curves = difference_curves(of, views)
    assert [curve.name for curve in curves] == ["lens", "attention"]
    for curve, view in zip(curves, views, strict=True):
        np.testing.assert_allclose(curve.mean, by_layer(of, view.name).change, rtol=1e-5)
        shown = view.values[:, of.compared]
        np.testing.assert_allclose(curve.low, np.nanquantile(shown, 0.25, axis=1), rtol=1e-5)
        np.testing.assert_allclose(curve.high, np.nanquantile(shown, 0.75, axis=1), rtol=1e-5)
        assert curve.bottom <= np.nanmin(curve.low)
        assert (curve.uniform == 0).all()
    section = page.split('id="section-layers"')[1].split('id="section-tables"')[0]
    panels = re.findall(r'<figure class="panel"><figcaption>(.*?)</figcaption>', section)
    assert panels == [
        "B − A of the logit-lens entropy (nats)", "B − A of the attention entropy (nats)",
    ]  # fmt: skip
    assert len(re.findall(r'<img class="wide lit" src="data:image/svg\+xml', section)) == 2

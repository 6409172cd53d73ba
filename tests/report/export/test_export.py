"""Exported figures have their size, real text and their values, and no scripts."""

import csv
import io
import json
import os
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import vl_convert
from PIL import Image

import attentropy
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.cli import main
from attentropy.report.export.pdf import normalize_pdf
from attentropy.report.figures.sizes import fit_to_width, wide
from long_traces import long
from programs import run
from traces import profiled, sited, synthetic

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def trace():
    return synthetic()


@pytest.fixture(scope="module")
def lengthy():
    return long(1500, layers=3, heads=3, read=400, window=32)


@pytest.fixture(scope="module")
def documents(trace, drawn_once):
    with drawn_once():
        return {
            format: attentropy.export(trace, "lens", format, dpi=100)
            for format in ("svg", "png", "pdf", "csv")
        }


@pytest.fixture(scope="module")
def lines():
    """Return a function that parses CSV bytes into a list of dictionaries."""
    return lambda data: list(csv.DictReader(io.StringIO(data.decode(), newline="")))


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


def test_the_layout_of_a_screen_is_one_of_those_for_paper():
    assert fit_to_width(8, 928) == wide(8)


def test_a_png_says_its_dots_an_inch_and_its_caption(documents):
    image = Image.open(io.BytesIO(documents["png"].data))
    assert image.width == pytest.approx(180 / 25.4 * 100, abs=1)
    assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
    assert image.info["Description"] == documents["png"].caption


def test_text_in_a_pdf_is_text_in_fonts_that_the_file_holds(documents, trace, tmp_path):
    file = tmp_path / "fig.pdf"
    file.write_bytes(documents["pdf"].data)
    pdf_text = run("pdftotext", file, "-").decode()
    for text in ("Entropy (nats)", "layer", "_Austr", "Rehearsal", *trace.text_of([100])):
        assert text.strip() in pdf_text
    fonts = run("pdffonts", file).decode().splitlines()[2:]
    assert fonts
    assert all(line.split()[-5] == "yes" for line in fonts)
    info = run("pdfinfo", file).decode()
    wide = float(re.search(r"Page size: +([\d.]+) x", info)[1])
    assert wide == pytest.approx(180 / 25.4 * 72, abs=0.01)
    assert documents["pdf"].caption[:60] in info


def test_all_pictures_are_the_same_picture(documents, tmp_path):
    for format in ("svg", "pdf"):
        (tmp_path / f"fig.{format}").write_bytes(documents[format].data)
    ours = pixels(documents["png"].data)
    across = str(ours.shape[1])
    run("pdftoppm", "-png", "-singlefile", "-scale-to-x", across, "-scale-to-y", "-1",
        tmp_path / "fig.pdf", tmp_path / "pdf")  # fmt: skip
    poppler = pixels((tmp_path / "pdf.png").read_bytes())
    rsvg = pixels(run("rsvg-convert", "-w", across, tmp_path / "fig.svg"))
    # Another picture, palette or section differs by more than 12, edges and letters by less than 4.
    other = pixels(attentropy.export(synthetic(seed=1), "lens", "png", dpi=100).data)
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
    convert = vl_convert.svg_to_pdf

    def without_emoji(picture):  # fails on emoji, whichever fonts are installed
        if "🌈" in picture or "👩" in picture:
            raise RuntimeError("the font holds pictures")
        return convert(picture)

    monkeypatch.setattr(vl_convert, "svg_to_pdf", without_emoji)
    tokens = ["a", "🌈", "👩\u200d🌈", "日本", "مرحبا", "é", "b"]
    trace = synthetic(tokens, ["content"] * len(tokens), words=tokens)
    file = tmp_path / "fig.pdf"
    file.write_bytes(attentropy.export(trace, "lens", "pdf").data)
    pdf_text = run("pdftotext", file, "-").decode()
    for text in ("é", "b", "U+1F308", "U+1F469U+1F308", f"all {len(tokens)} positions"):
        assert text in pdf_text
    assert "□" not in pdf_text


def test_the_values_of_the_lens_are_those_that_are_drawn(documents, trace, lines):
    rows = lines(documents["csv"].data)
    assert documents["csv"].data.count(b"\r\n") == len(rows) + 1
    values = trace.lens("lens_entropy")
    layers, n = values.shape
    overview = [float(row["entropy (nats)"]) for row in rows if row["part"] == "overview"]
    np.testing.assert_array_equal(np.float32(overview).reshape(layers, n), values)
    section = [row for row in rows if row["part"] == "section"]
    likeliest = trace.lens("lens_top_ids")[..., 0]
    sure = np.exp(trace.lens("lens_top_logprobs")[..., 0])
    assert len({row["first position"] for row in section}) < n
    for row in section:
        layer, position = int(row["layer"]), int(row["first position"])
        assert np.float32(row["entropy (nats)"]) == values[layer, position]
        assert np.float32(row["top token probability"]) == sure[layer, position]
        assert row["top token"] == trace.text_of([likeliest[layer, position]])[0].replace(" ", "_")
    assert {row["first position"] for row in rows if row["part"] == "inset"} == {
        re.search(r"Green: position (\d+)", documents["csv"].caption)[1]
    }


def test_attention_shows_the_mean_one_head_or_the_heads_of_a_layer(trace, lines):
    entropy, window = trace["entropy"], trace["window"]

    def drawn(**choices):
        document = attentropy.export(trace, "attention", "csv", inset=9, section=(4, 12), **choices)
        rows = lines(document.data)
        values = [float(row["entropy (nats)"]) for row in rows if row["part"] == "overview"]
        inset = {
            (int(row["first position"]), int(row["key position"])): float(row["attention weight"])
            for row in rows if row["part"] == "inset"
        }  # fmt: skip
        return np.array(values).reshape(-1, entropy.shape[2]), inset

    values, inset = drawn()
    np.testing.assert_allclose(values, entropy.mean(1), rtol=1e-6)
    assert {query for query, _ in inset} == {7, 8, 9}
    best = set(np.argsort(-window[0].mean(0)[9, :10])[:6])
    assert {key for _, key in inset} == best
    for (query, key), weight in inset.items():
        assert weight == pytest.approx(window[0, :, query, key].mean(), abs=1e-6)
    np.testing.assert_array_equal(np.float32(drawn(head=2)[0]), entropy[:, 2])
    np.testing.assert_array_equal(np.float32(drawn(layer=3)[0]), entropy[3])
    values, inset = drawn(layer=3, head=2)
    np.testing.assert_array_equal(np.float32(values), entropy[:, 2])
    for (query, key), weight in inset.items():
        assert weight == pytest.approx(window[3, 2, query, key], abs=1e-6)


@pytest.fixture(scope="module")
def both():
    return sited()


def test_a_statistic_has_the_values_the_scale_and_the_words_of_the_page(both, lines):
    def drawn(figure, **choices):
        document = attentropy.export(both, figure, "csv", **choices)
        rows = lines(document.data)
        column = list(rows[0])[6]
        values = [float(row[column] or "nan") for row in rows if row["part"] == "overview"]
        return (
            np.array(values).reshape(-1, both.dataset.sizes["position"]),
            column,
            document.caption,
        )

    values, column, caption = drawn("lens", stat="lens_rank", site="mlp")
    np.testing.assert_array_equal(values, both["lens_rank"][1])
    assert column == "lens_rank (0 = top-1)"
    assert "in the logit lens of the MLP block's output alone, of synthetic" in caption
    assert "red 1999 on a logarithmic scale" in caption
    assert np.isnan(drawn("lens", stat="lens_rank")[0][2, 6])
    values, column, _ = drawn("lens", stat="probability", site="mlp")
    np.testing.assert_allclose(values, np.exp(both["lens_top_logprobs"][1, ..., 0]), rtol=1e-6)
    assert column == "probability of the top token (share, 0 to 1)"
    values, column, caption = drawn("attention", stat="distance", palette="cividis")
    np.testing.assert_allclose(values, both["distance"].mean(1), rtol=1e-6)
    assert column == "mean distance (tokens)"
    assert caption.startswith("Mean attended distance of synthetic")
    assert "dark blue 0.0, grey 3.1, yellow 16.0 tokens on a logarithmic scale" in caption
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(both["visible"] < 2, np.nan, 1 / np.log(both["visible"]))
    shares = both["entropy"] * shares[:, None]
    for choices, expected in (({}, shares.mean(1)), ({"layer": 2}, shares[2]),
                              ({"head": 1}, shares[:, 1])):  # fmt: skip
        values, *_ = drawn("attention", stat="normalized_entropy", **choices)
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_a_site_names_its_own_tokens(both, lines):
    document = attentropy.export(both, "lens", "csv", site="mlp")
    for row in lines(document.data):
        if row["part"] != "overview":
            top = both["lens_top_ids"][1, int(row["layer"]), int(row["first position"]), 0]
            assert row["top token"] == both.text_of([top])[0].replace(" ", "_")
    svg = attentropy.export(both, "lens", "svg", site="mlp").data.decode()
    texts = [t.text or "" for t in ElementTree.fromstring(svg).iter() if t.tag.endswith("text")]
    column = int(re.search(r"Green: position (\d+)", document.caption)[1])
    for layer in range(6):
        name = both.text_of([both["lens_top_ids"][1, layer, column, 0]])[0].strip()
        likely = np.exp(both["lens_top_logprobs"][1, layer, column, 0])
        assert [t for t in texts if name[:5] in t and t.endswith(f"{likely:.2f}")]


def test_a_legend_says_which_statistic_it_is_of(both):
    for figure, stat, title in (("attention", "distance", "Tokens (log)"),
                                ("lens", "lens_kl", "KL (nats)")):  # fmt: skip
        assert f">{title}<" in attentropy.export(both, figure, "svg", stat=stat).data.decode()


def test_a_finding_is_told_where_its_own_statistic_is_shown(both):
    caption = attentropy.export(both, "attention", "csv", stat="normalized_entropy").caption
    assert "light grey: missing. Made with" not in caption
    assert (
        "light grey: missing. Made with"
        in attentropy.export(both, "attention", "csv", stat="distance").caption
    )


def test_an_inset_moves_a_section_that_nobody_asked_for(trace):
    caption = attentropy.export(trace, "lens", "csv", inset=2).caption
    assert "magnified below (positions 2 to " in caption
    assert "Green: position 2 " in caption


def test_the_scores_name_their_threshold_and_a_uniform_row(lengthy, lines):
    document = attentropy.export(lengthy, "heads", "csv", score="sink")
    values = lengthy["head_sink"]
    for row in lines(document.data):
        value = values[int(row["layer"]), int(row["head"])]
        assert np.float32(row["sink (share, 0 to 1)"]) == value
        assert float(row["threshold"]) == 0.3
    assert "above 0.3" in document.caption
    picture = attentropy.export(lengthy, "heads", "svg", score="sink").data.decode()
    assert ">uniform<" in picture
    assert picture.count('stroke="#1b7837"') == int((values > 0.3).sum())


@pytest.mark.parametrize("width", [180, 85])
def test_a_long_map_has_its_tiles_its_region_and_exact_weights(lengthy, lines, width):
    document = attentropy.export(
        lengthy, "map", "csv", section="-64:", layer=1, width=width
    )  # fmt: skip
    rows = lines(document.data)
    tiles = [float(r["share of a query's attention"]) for r in rows if r["part"] == "tile"]
    size = lengthy["map"].shape[2]
    np.testing.assert_allclose(
        tiles, lengthy["map"][1, 0][np.tril_indices(size)], rtol=1e-6
    )  # fmt: skip
    assert sum(row["part"] == "exact" for row in rows) == 32 * 33 // 2
    assert "1,436 to 1,499 magnified" in document.caption
    svg = attentropy.export(lengthy, "map", section="-64:", layer=1, width=width).data.decode()
    assert "queries 1,436–1,499 × keys 1,436–1,499" in svg


def test_a_short_map_is_whole(trace, lines):
    rows = lines(attentropy.export(trace, "map", "csv", layer=2, head=1).data)
    for row in rows:
        query, key = int(row["first query"]), int(row["first key"])
        value = np.float32(row["share of a query's attention"])
        assert value == trace["window"][2, 1, query, key]
    n = len(trace.tokens)
    assert len(rows) == n * (n + 1) // 2


@pytest.mark.parametrize("width", [180, 85])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_profile_is_a_figure_as_well(lines, width, theme):
    document = attentropy.export(profiled(), "profile", "csv", width=width, theme=theme)
    rows = lines(document.data)
    took = sum(float(row["time (s)"]) for row in rows if row["panel"] == "layers")
    assert took == pytest.approx(np.nansum(profiled()["profile_seconds"]), rel=1e-6)
    root = ElementTree.fromstring(
        attentropy.export(profiled(), "profile", width=width, theme=theme).data
    )
    assert float(root.get("viewBox").split()[2]) == pytest.approx(width / 25.4 * 72 / 7 * 11, abs=4)


@pytest.mark.parametrize(
    ("figure", "choices", "message"),
    [
        ("lens", {"layer": 1}, "`layer` does not apply to the figure lens"),
        ("heads", {"section": "1:2"}, "takes `score`"),
        ("lens", {"inset": 400}, "position 400 is out of range (0 to 16)"),
        ("lens", {"inset": 1, "section": "4:9"}, "outside `section` 4:9"),
        ("lens", {"section": "nowhere"}, "a range of positions such as"),
        ("attention", {"layer": 77}, "layers 0 to 5"),
        ("attention", {"head": 77}, "0 to 2"),
        ("map", {"section": "1:2"}, "whole"),
        ("lens", {"palette": "rainbow"}, "diverging or cividis"),
        ("lens", {"stat": "distance"}, "entropy, lens_kl, probability or lens_rank"),
        (
            "attention",
            {"stat": "lens_kl"},
            "entropy, normalized_entropy, max_prob, distance or sink",
        ),
        ("lens", {"site": "mlp"}, "must be residual, not 'mlp'"),
        ("attention", {"site": "residual"}, "`site` does not apply to the figure attention"),
        ("map", {"stat": "entropy"}, "`stat` does not apply to the figure map"),
        ("nothing", {}, "lens, attention"),
        ("lens", {"width": 5}, "30 to 1000 mm"),
        ("lens", {"width": float("nan")}, "30 to 1000 mm"),
        ("lens", {"font_size": 20, "width": 85}, "at most 11.0 points"),
        ("lens", {"font_size": 3, "width": 900}, "at least "),
        ("lens", {"format": "gif"}, "svg, png, pdf or csv"),
        ("lens", {"dpi": 9}, "36 to 2400"),
    ],
)
def test_what_a_figure_or_a_trace_does_not_have_is_one_line(trace, figure, choices, message):
    with pytest.raises(UsageError) as error:
        attentropy.export(trace, figure, **choices)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("figure", "missing", "message"),
    [
        ("lens", ["lens_entropy"], '`lens="residual"`'),
        ("attention", ["entropy"], '`stats="entropy"`'),
        ("map", ["window"], '`map_tile="auto"`'),
        ("heads", [], "`scores=True`"),
        ("profile", [], "attentropy profile"),
    ],
)
def test_what_was_not_recorded_names_what_to_run(trace, figure, missing, message):
    with pytest.raises(AttentropyError, match=message) as error:
        attentropy.export(type(trace)(trace.dataset.drop_vars(missing)), figure)
    assert not isinstance(error.value, UsageError)


def test_the_command_writes_the_file_and_tells_its_caption(trace, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trace.save("t.zarr.zip")
    assert main(["export", "t.zarr.zip", "-o", "fig.svg", "--section", "3:9"]) == 0
    out = capsys.readouterr().out
    document = attentropy.export(trace, "lens", section=(3, 9))
    assert (tmp_path / "fig.svg").read_bytes() == document.data
    assert document.caption in out
    assert main(["export", "t.zarr.zip", "-o", "p.svg", "--no-template-box"]) == 0
    plain = attentropy.export(trace, "lens", template_box=False)
    assert Path("p.svg").read_bytes() == plain.data
    Path("p.svg").unlink()
    capsys.readouterr()
    assert main(["export", "t.zarr.zip", "-o", "fig.svg"]) == 2
    assert "--force" in capsys.readouterr().err
    again = ["export", "t.zarr.zip", "-o", "fig.CSV", "--figure", "map", "--json"]
    assert main(again) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["bytes"] == (tmp_path / "fig.CSV").stat().st_size
    assert summary["caption"].startswith("Attention map")
    assert main(["export", "t.zarr.zip", "-o", "fig.gif"]) == 2
    error = capsys.readouterr().err
    assert ".svg, .png, .pdf, .csv" in error
    assert error.count("\n") == 1
    assert sorted(os.listdir()) == ["fig.CSV", "fig.svg", "t.zarr.zip"]

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

import attentropy
from attentropy.report.cli import main
from long_traces import long
from traces import profiled, sited

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def lengthy():
    return long(1500, layers=3, heads=3, read=400, window=32)


@pytest.fixture(scope="module")
def lines():
    """Return a function that parses CSV bytes into a list of dictionaries."""
    return lambda data: list(csv.DictReader(io.StringIO(data.decode(), newline="")))


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
    np.testing.assert_array_equal(values, both["lens_rank"][1] + 1)
    assert column == "rank of the model's prediction"
    assert "in the logit lens of the MLP block's output alone, of synthetic" in caption
    assert "dark blue 1 (top token), light blue 45, white 2000 (last token) on a log" in caption
    assert np.isnan(drawn("lens", stat="lens_rank")[0][2, 6])
    values, column, _ = drawn("lens", stat="probability", site="mlp")
    np.testing.assert_allclose(values, np.exp(both["lens_top_logprobs"][1, ..., 0]), rtol=1e-6)
    assert column == "probability of the top token (share, 0 to 1)"
    values, column, caption = drawn("attention", stat="distance", palette="cividis")
    np.testing.assert_allclose(values, both["distance"].mean(1), rtol=1e-6)
    assert column == "mean distance (tokens)"
    assert caption.startswith("Mean attended distance of synthetic")
    assert "yellow 0.0 (near), grey 3.1, dark blue 16.0 tokens (far) on a log" in caption
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
    assert "hatched: missing. Made with" not in caption
    assert (
        "hatched: missing. Made with"
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

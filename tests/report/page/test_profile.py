"""The page and the terminal show a profile's numbers as stacked areas, sentences and tables."""

import base64
import json
import re
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner

from attentropy.engine.trace.dataset import Trace
from attentropy.report import cli, vega
from attentropy.report.commands.profile import command
from attentropy.report.content.profile_words import (
    costs,
    growth_words,
    profile_sentences,
    read_profile,
    shares,
)
from attentropy.report.figures import cost_chart
from attentropy.report.figures.cost_chart import cost_charts, cost_rows
from attentropy.report.figures.profile_charts import LEGEND, NARROW, WIDE, charts, records
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from attentropy.report.page.profile import draw_profile
from attentropy.report.units import glue
from counted import CountedClock
from pictures import without_pictures
from traces import PARTS, profiled, synthetic

pytestmark = pytest.mark.costly


@pytest.fixture
def stack():
    """Yield a stack of contexts that are left after the test."""
    with ExitStack() as contexts:
        yield contexts


def test_each_layers_bars_are_its_seconds_stacked_without_a_gap():
    trace = profiled()
    bars, _, parts = records(trace)
    assert parts == ["kernel", "attention", "mlp", "other", "writing", "outside"]
    seconds = np.nansum(trace["profile_seconds"], 0)
    for layer in range(6):
        rows = [bar for bar in bars if bar["layer"] == layer]
        assert [r["part"] for r in rows] == [LEGEND[p][0] for p in parts[:-1]]
        assert rows[0]["from"] == 0
        assert all(a["to"] == pytest.approx(b["from"]) for a, b in pairwise(rows))
        assert rows[0]["to"] == pytest.approx(seconds[layer, PARTS.index("kernel")], rel=1e-5)
        assert rows[-1]["to"] == pytest.approx(seconds[layer].sum(), rel=1e-5)


def test_each_chunks_shares_are_all_of_its_time():
    trace = profiled()
    _, areas, parts = records(trace)
    seconds, outside = trace["profile_seconds"], trace["profile_outside"]
    for chunk, at in enumerate(trace["chunk_start"]):
        rows = {row["part"]: row for row in areas if row["at"] == at}
        assert len(rows) == len(parts)
        assert rows["outside the layers"]["to"] == pytest.approx(1)
        kernel = rows["attention kernel"]
        whole = np.nansum(seconds[chunk]) + outside[chunk].sum()
        assert kernel["to"] == pytest.approx(np.nansum(seconds[chunk, :, 1]) / whole, rel=1e-5)
    last = [row for row in areas if row["at"] == 4 * 4096]  # the end of the last chunk
    before = [row for row in areas if row["at"] == 3 * 4096]
    assert [row["to"] for row in last] == [row["to"] for row in before]


def test_what_is_written_after_the_layers_is_writing_too():
    trace = profiled()
    outside = np.zeros((4, 5), np.float32)
    outside[-1] = [0, 0, 0, 1, 3]  # seconds; the times of the layers are negligible
    names = np.array(["embedding", "norm", "head", "rest", "writing"], np.dtypes.StringDType())
    data = trace.dataset.drop_vars(("profile_outside", "outside"))
    data = data.assign(profile_outside=(("chunk", "outside"), outside))
    _, areas, _ = records(Trace(data.assign_coords(outside=("outside", names))))
    rows = {row["part"]: row["to"] - row["from"] for row in areas[-7:]}
    assert rows["writing"] == pytest.approx(0.75, abs=0.02)
    assert rows["outside the layers"] == pytest.approx(0.25, abs=0.02)


def test_the_attentions_share_is_said_to_grow_as_it_does():
    trace = profiled()
    seconds = trace["profile_seconds"]
    whole = np.nansum(seconds, (1, 2)) + trace["profile_outside"].sum(1)
    share = np.nansum(seconds[..., :2], (1, 2)) / whole
    assert f"{share[0]:.0%} of the time of the first".replace("%", " %") in growth_words(trace)
    assert f"{share[-1]:.0%} of the last".replace("%", " %") in growth_words(trace)
    assert growth_words(profiled(chunks=1)) == ""


def test_the_lens_is_drawn_where_it_was_measured_alone():
    assert "lens" in records(profiled(lens=True))[2]
    assert "lens" not in records(profiled())[2]


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_light_and_dark_differ_in_colours_alone(layout):
    light, dark = charts(profiled(), layout)
    assert light["config"]["background"] != dark["config"]["background"]
    assert light["config"]["range"] != dark["config"]["range"]
    assert {k: v for k, v in light.items() if k != "config"} == {
        k: v for k, v in dark.items() if k != "config"
    }


def test_the_narrow_figure_fits_a_telephone():
    for chart in draw_profile(read_profile(profiled(layers=32))).narrow:
        svg = base64.b64decode(chart.split(",", 1)[1]).decode()
        assert float(re.search(r'\bwidth="([\d.]+)"', svg)[1]) <= 420 - 2 * 10 - 2 * 11


@pytest.mark.usefixtures("converted_again")
def test_the_page_shows_a_profile_where_there_is_one_and_escapes_the_machines_name(plain_page):
    trace = profiled()
    page = render(trace, observe(trace))
    assert page == render(trace, observe(trace))
    assert 'id="title-profile">Profile</h2>' in page
    assert "&lt;b&gt;GPU&lt;/b&gt; (2 of 4 cores)" in page
    assert "<b>GPU" not in page
    for sentence in profile_sentences(trace.attrs["profile"]):
        assert glue(sentence).replace("'", "&#39;") in page
    assert "Profile" not in plain_page
    assert read_profile(synthetic()) is None


def test_the_numbers_are_told_with_their_spread_and_against_the_ceiling():
    trace = profiled()
    profile = trace.attrs["profile"]
    text = " ".join(profile_sentences(profile))
    assert "Recording takes 1.10× (1.01–1.20×) the time of the same pass without" in text
    assert "The attention kernel alone: 1.03× (1.02–1.04×)." in text
    assert "600 TFLOP/s (0.75× matmul)" in text
    assert "sum to 98.8 % of the wall time" in text
    assert "adds 1.5 MB to peak memory" in text
    columns, rows = costs(profile)
    assert all(len(row) == len(columns) for row in rows)
    assert [row[0] for row in rows] == [
        "recording entropy", "no recording", "PyTorch fused attention (cudnn)",
    ]  # fmt: skip
    columns, rows = shares(trace)
    assert all(len(row) == len(columns) for row in rows)


def test_a_rate_above_the_matrix_products_is_a_ratio_and_no_share():
    profile = profiled().attrs["profile"]
    profile["ceilings"]["flops_per_second"] = 6e14 / 2.44
    assert "600 TFLOP/s (2.44× matmul)" in " ".join(profile_sentences(profile))
    assert "2.44×" in costs(profile)[1][0]
    assert not any("%" in cell for row in costs(profile)[1] for cell in row)


def test_without_a_fused_kernel_the_reason_is_told():
    profile = profiled().attrs["profile"]
    profile["not_fused"] = "this model has a softcap"
    del profile["variants"]["fused"], profile["ratios"]["fused"]
    assert "Not compared with a fused kernel: this model has a softcap." in profile_sentences(
        profile
    )
    assert len(costs(profile)[1]) == 2


def test_the_command_prints_tables_or_json_and_writes_a_report_or_a_trace(
    tmp_path, monkeypatch, stack
):
    from attentropy.engine.profile import profile as engine

    arguments = {}

    def fake(model=None, prompt=None, *, progress=None, **options):
        arguments.update(options, model=model, prompt=prompt)
        return profiled()

    monkeypatch.setattr(engine, "profile", fake)
    monkeypatch.chdir(tmp_path)
    stack.enter_context(without_pictures())
    runner = CliRunner()
    done = runner.invoke(command, ["folder", "--tokens", "128k", "--chunk", "8k", "--repeat", "2"])
    assert done.exit_code == 0, done.output
    assert "Cost of recording" in done.output
    assert "Wrote profile.html" in done.output
    assert (tmp_path / "profile.html").exists()
    assert (arguments["tokens"], arguments["chunk"], arguments["repeat"]) == (131_072, 8192, 2)
    names = ("model", "stats", "lens")
    assert [arguments[name] for name in names] == ["folder", "entropy", "none"]
    done = runner.invoke(command, ["-o", "-"])
    assert done.stdout.startswith("<!doctype html>")  # and no table before it
    for name in ("p.html", "p.zarr.zip", "p.zarr"):
        done = runner.invoke(command, ["--json", "-o", str(tmp_path / name)])
        assert json.loads(done.stdout)["tokens"] == 4 * 4096
        assert (tmp_path / name).exists()
    assert 'id="title-profile">Profile</h2>' in (tmp_path / "p.html").read_text()
    assert "profile_seconds" in Trace.open(tmp_path / "p.zarr.zip")


def test_a_target_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, capsys):
    assert cli.main(["profile", "-o", str(tmp_path / "p.txt")]) == 2
    assert cli.main(["profile", "-o", str(tmp_path / "none" / "p.html")]) == 2
    assert cli.main(["profile", "--tokens", "many"]) == 2
    assert "give sizes such as 1k,4096" in capsys.readouterr().err


def test_the_embedded_model_is_profiled_by_one_command(monkeypatch, capsys):
    from attentropy.engine.measure import machine

    monkeypatch.setattr(machine, "_SECONDS", 0.0)

    with CountedClock():
        assert (
            cli.main(["profile", "--tokens", "90", "--chunk", "40", "--repeat", "1", "--json"]) == 0
        )
    profile = json.loads(capsys.readouterr().out)
    assert abs(profile["parts_off_by"]) < 1e-5
    assert profile["ratios"]["off"]["whole"][1] > 0
    assert profile["fused_backend"] in ("flash", "cudnn")


def test_the_picture_of_the_cost_has_every_variant_with_its_time_and_memory():
    profile = dict(profiled().attrs["profile"])
    off = profile["variants"]["off"] | {"seconds": [0.1, 0.2, 0.3], "peak_bytes": 1_000_000}
    profile["variants"] = profile["variants"] | {"off": off}
    profile["memory"] = "peak of the device"
    rows = cost_rows(profile)
    assert [row["variant"] for row in rows] == [
        "recording", "without recording", "PyTorch's fused attention",
    ]  # fmt: skip
    assert (rows[1]["time_low"], rows[1]["time"], rows[1]["time_high"]) == (0.1, 0.2, 0.3)
    assert rows[1]["time_text"] == "200 ms (recording: 1.10×)"
    assert (rows[1]["memory"], rows[1]["memory_text"]) == (1.0, "1.0 MB")
    light, dark = cost_charts(profile, cost_chart.WIDE)
    assert len(light["hconcat"]) == 2
    assert light["config"]["range"] != dark["config"]["range"]
    profile["memory"] = None
    assert len(cost_charts(profile, cost_chart.NARROW)[0]["vconcat"]) == 1


def test_a_page_with_a_profile_opens_on_it_and_every_other_page_on_the_figure():
    trace = profiled()
    page = render(trace, observe(trace))
    assert page.index('id="section-profile"') < page.index('id="section-figure"')
    assert page.count('id="section-profile"') == 1
    links = re.findall(r'<a href="#section-(\w+)">', page.split('class="sections"')[1])
    assert links[:2] == ["profile", "figure"]
    other = render(synthetic(), observe(synthetic()))
    assert 'id="section-profile"' not in other


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e4])
def test_no_axis_label_of_a_profile_is_written_with_an_exponent(factor):
    trace = profiled()
    seconds = trace["profile_seconds"] * np.float32(factor)
    trace = Trace(trace.dataset.assign(profile_seconds=(("chunk", "layer", "part"), seconds)))
    for layout in (WIDE, NARROW):
        image = vega.to_svg(charts(trace, layout)[0])
        texts = re.findall(r">([^<>]+)</text>", image)
        assert not [text for text in texts if re.search(r"\de[+−-]?\d", text)]

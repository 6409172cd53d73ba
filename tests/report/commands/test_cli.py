"""The command line does the main job in one call and reports each error in one line."""

import json
import logging
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoModelForCausalLM

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import FORMAT_VERSION
from attentropy.report.cli import main
from refusals import assert_refused
from tiny import save
from traces import save_synthetic

pytestmark = pytest.mark.costly


def test_report_writes_the_page_of_the_embedded_model(here, capsys):
    assert main(["report", "--save-trace", "t.zarr.zip", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    page = (here / "report.html").read_text("utf-8")
    assert summary["bytes"] == (here / "report.html").stat().st_size
    assert summary["answer"] == "Canberra"
    assert len(summary["observations"]) >= 3
    assert {"induction", "previous"} <= {fact["id"] for fact in summary["model_heads"]}
    assert "Canberra" in page
    assert sorted(os.listdir()) == ["report.html", "t.zarr.zip"]
    assert main(["render", "t.zarr.zip", "-o", "again.html"]) == 0
    assert (here / "again.html").read_text("utf-8") == page


def test_extract_and_info_agree(here, capsys):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "2", "-o", "t.zarr"]
    assert main(run) == 0
    assert "t.zarr" in capsys.readouterr().out
    assert main(["info", "t.zarr", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    trace = Trace.open("t.zarr")
    assert info["tokens"] == trace.prompt_tokens
    assert info["answer tokens"] == len(trace.tokens) - trace.prompt_tokens
    assert info["model"]["name"] == "tiny"
    assert trace.dataset.sizes["step"] <= 2
    assert np.isfinite(trace["lens_entropy"]).all()


def test_what_to_keep_beside_the_statistics_is_chosen_by_options(here, capsys, monkeypatch):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "0", "-o"]
    options = ["--map-tile", "4x8", "--map-heads", "all", "--window", "-3:,:", "--window", ":2,:2"]
    assert main([*run, "a.zarr", *options]) == 0
    assert main([*run, "b.zarr", "--no-scores", "--map-tile", "none"]) == 0
    a, b = Trace.open("a.zarr"), Trace.open("b.zarr")
    n = len(a.tokens)
    assert a["map"].shape == (3, 4, -(-n // 4), -(-n // 8))
    assert a["window1"].shape == (3, 4, 3, n)
    assert a["window2"].shape == (3, 4, 2, 2)
    assert np.isfinite(a["head_sink"]).all()
    assert not [name for name in b.dataset if str(name).startswith(("head_", "map", "received"))]
    monkeypatch.setattr("attentropy.report.page.page.render", lambda *a, **options: "")
    assert main(["report", "-o", "r.html"]) == 0
    output = capsys.readouterr().out
    assert "No attention sink" in output  # of the embedded model
    assert "Induction" not in output  # a fact of the model is no finding


def test_sites_layers_and_positions_of_the_lens_are_chosen(here):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "hello", "--max-new-tokens", "1", "-o", "t.zarr"]
    options = ["--lens", "attention, residual", "--lens-layers", "0,-1:", "--lens-positions", "-3:"]
    assert main([*run, *options]) == 0
    trace = Trace.open("t.zarr")
    assert list(trace["site"]) == ["residual", "attention"]
    read = np.isfinite(trace["lens_entropy"])
    assert read.any((0, 2)).tolist() == [True, False, True]
    last = list(range(trace.prompt_tokens))[-3:]  # of the prompt, and the answer
    assert np.flatnonzero(read.any((0, 1))).tolist() == [*last, trace.prompt_tokens]


def test_info_predicts_what_the_lens_costs(here, capsys):
    folder = save(here / "tiny", max_position_embeddings=16384)
    parameters = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(folder).parameters())
    assert main(["info", "tiny", "--tokens", "9000", "--json"]) == 0
    lens = json.loads(capsys.readouterr().out)["lens"]
    assert lens["parameters"] == parameters
    assert lens["forward_flops"] == 2 * parameters * 9000
    whole, default = lens["at every position"], lens["by default"]
    assert whole["positions"] == 9000
    assert 1024 <= default["positions"] < 9000
    assert default["flops"] <= lens["forward_flops"] < whole["flops"]
    product = 2 * 48 * 264
    assert whole["flops"] == product * (9000 * 3 * 2 + 1024 * 3 + 9000)
    assert whole["of_the_forward_pass"] == pytest.approx(
        whole["flops"] / lens["forward_flops"], abs=1e-3
    )
    assert whole["kept_bytes"] == 3 * 9000 * 48 * 4
    # Up to 8,192 positions are all read where one product per cell costs no more than the pass.
    assert main(["info", "tiny", "--tokens", "5000", "--json"]) == 0
    lens = json.loads(capsys.readouterr().out)["lens"]
    assert product * 5000 * 3 <= lens["forward_flops"]
    assert lens["by default"] == lens["at every position"]
    assert main(["info", "--tokens", "100"]) == 0
    assert "attentropy-demo" in capsys.readouterr().out


def test_info_describes_this_machine_and_a_model(here, capsys):
    assert main(["info", "--json"]) == 0
    assert "cpu" in json.loads(capsys.readouterr().out)["devices"][-1]
    save(here / "tiny")
    assert main(["info", "tiny"]) == 0
    assert "llama" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "./no-such-folder", "-p", "x"], ["no model folder"]),
        (["report", "tiny", "-p", "  ", "--no-chat-template"], ["empty"]),
        (["report", "tiny", "-f", "latin.txt"], ["UTF-8", "latin.txt"]),
        (["report", "tiny", "-f", "none.txt"], ["none.txt"]),
        (["report", "tiny", "-p", "x" * 400], ["supports only 256"]),
        (["report", "tiny", "-p", "x", "-o", "none/r.html"], ["no folder"]),
        (["report", "tiny", "-p", "x", "-o", "there.html"], ["--force"]),
        (["report", "tiny", "-p", "x", "-o", "folder.html"], ["folder"]),
        (["report", "tiny", "-p", "x", "-f", "latin.txt"], ["one of"]),
        (["report", "tiny", "-p", "x", "--ids", "ids.txt"], ["one of"]),
        (["report", "tiny", "--ids", "ids.txt"], ["264", "position 1"]),
        (["report", "tiny", "--ids", "words.txt"], ["words.txt", "numbers"]),
        (["report", "tiny", "--ids", "object.json"], ["object.json"]),
        (["report", "tiny", "--ids", "empty.json"], ["no token id"]),
        (["report", "tiny", "--ids", "floats.json"], ["whole numbers"]),
        (["report", "tiny", "--ids", "ids.txt", "--system", "x"], ["--system"]),
        (["report", "tiny", "-m", "latin.txt"], ["latin.txt"]),
        (["report", "tiny", "-m", "object.json"], ["list"]),
        (["report", "tiny"], ["prompt"]),
        (["report", "tiny", "-p", "x", "--top-k", "0"], ["top-k"]),
        (["report", "tiny", "-p", "x", "--device", "toaster"], ["device"]),
        (["report", "tiny", "-p", "x", "--lens", "head"], ["--lens must be"]),
        (["report", "tiny", "-p", "x", "--map-tile", "big"], ["--map-tile must be", "64x32"]),
        (["report", "tiny", "-p", "x", "--window", "1:2"], ["--window must be", "-64:,0:512"]),
        (
            ["report", "tiny", "-p", "x", "--window", "999:,:"],
            ["--window: 999:,: selects no query"],
        ),
        (["report", "tiny", "-p", "x", "--lens", "none,mlp"], ["none"]),
        (
            ["report", "tiny", "-p", "x", "--lens", ""],
            ["--lens must be", "residual, attention, mlp"],
        ),
        (["report", "tiny", "-p", "x", "--lens-layers", "9"], ["--lens-layers", "0 to 2"]),
        (["report", "tiny", "-p", "x", "--lens-positions", "a:b"], ["--lens-positions", "'a:b'"]),
        (
            ["report", "tiny", "-p", "x", "--no-chat-template", "--lens-positions", "template"],
            ["selects nothing"],
        ),
        (["info", "t.zarr", "--tokens", "9"], ["--tokens"]),
        (["extract", "tiny", "-p", "x", "-o", "trace.npz"], ["zarr"]),
        (["nonsense"], ["nonsense"]),
        (["render"], ["TRACE"]),
    ],
)
def test_bad_usage_is_one_line_and_code_2(here, capsys, arguments, words):
    save(here / "tiny")
    (here / "latin.txt").write_bytes("Größe".encode("latin-1"))
    (here / "object.json").write_text("{}")
    (here / "ids.txt").write_text("1 264")
    (here / "words.txt").write_text("1 two")
    (here / "empty.json").write_text("[]")
    (here / "floats.json").write_text("[1.5]")
    (here / "there.html").write_text("mine")
    (here / "folder.html").mkdir()
    assert_refused(capsys, arguments, 2, *words)
    assert (here / "there.html").read_text() == "mine"


def _truncated(path):
    save_synthetic(path)
    path.write_bytes(path.read_bytes()[:2000])


def _foreign(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')


def _newer(path):
    save_synthetic(path.with_suffix(""))
    metadata = path.with_suffix("") / "zarr.json"
    metadata.write_text(
        metadata.read_text().replace(
            f'"format_version": {FORMAT_VERSION}', f'"format_version": {FORMAT_VERSION + 1}'
        )
    )
    path.with_suffix("").rename(path.with_suffix("").with_name("new.zarr"))


@pytest.mark.parametrize(
    ("make", "name", "word"),
    [(_truncated, "t.zarr.zip", "truncated"), (_foreign, "t.zarr.zip", "not an attentropy trace"),
     (_newer, "new.zarr", "newer")],
)  # fmt: skip
def test_a_trace_that_cannot_be_read_is_refused(here, capsys, make, name, word):
    make(here / "t.zarr.zip")
    assert_refused(capsys, ["render", name], 1, word)


def test_a_failure_has_a_traceback_only_in_debug(here, capsys, monkeypatch):
    monkeypatch.setattr("attentropy.report.page.page.render", lambda *a, **options: 1 / 0)
    save_synthetic(here / "t.zarr")
    assert "ZeroDivisionError" in assert_refused(capsys, ["render", "t.zarr"], 1, "--debug")
    with pytest.raises(ZeroDivisionError):
        main(["--debug", "render", "t.zarr"])


def test_debug_also_shows_what_the_package_logs(here, capsys, monkeypatch):
    logger = logging.getLogger("attentropy.engine")
    monkeypatch.setattr(
        "attentropy.report.page.page.render", lambda *a, **options: logger.debug("swallowed") or ""
    )
    save_synthetic(here / "t.zarr")
    for arguments, shown in ((["--debug"], True), ([], False)):
        assert main([*arguments, "render", "t.zarr", "--force"]) == 0
        assert ("DEBUG attentropy.engine: swallowed" in capsys.readouterr().err) == shown
    assert not logging.getLogger("attentropy").handlers


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from attentropy.report.cli import main; assert main(['--help']) == 0; "
        "heavy = {'torch', 'transformers', 'altair', 'xarray', 'zarr', 'numpy', 'jinja2', 'rich'}; "
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert "HEAVY []" in out
    for command in ("report", "extract", "render", "info"):
        assert f"  {command} " in out


def test_the_pypi_package_kernels_is_not_shadowed_in_the_repositorys_root():
    root = Path(__file__).parents[3]
    code = "import kernels; print(kernels.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert "site-packages" in done.stdout
    assert not (root / "kernels" / "__init__.py").exists()


def test_info_prints_the_memory_and_time_of_a_run(here, capsys):
    save(here / "tiny")
    assert main(["info", "tiny", "--tokens", "200"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^Memory: \d+\.\d MB at the peak", out, re.M)
    assert re.search(r"^Time: about .*(s|min)$", out, re.M)


def test_info_predicts_what_is_kept_of_a_long_prompt(capsys, monkeypatch):
    from attentropy.engine.cost import speed as pace

    monkeypatch.setattr(pace, "_BUDGET", 0.0)
    options = [
        "--tokens",
        "4k",
        "--stats",
        "entropy",
        "--heads",
        "mean",
        "--lens",
        "none",
        "--json",
    ]
    assert main(["info", *options, "--chunk", "1k", "--storage", "float16"]) == 0
    prediction = json.loads(capsys.readouterr().out)
    assert prediction["run"] == {
        "chunk": 1024, "answer_tokens": 0, "lens_positions": 0, "map_tile": [8, 8],
        "thumbnail_tile": 128,
        "reference_questions": 0, "reference_tokens": 0, "reference_passes": 0,
    }  # fmt: skip
    rows = 8 * 4096
    assert prediction["disk"]["statistics_bytes"] == pytest.approx(
        rows * (2 * 0.88 + 4 * 0.6), rel=1e-3
    )
    assert main(["info", *options, "--map-tile", "none", "--window", "0:9,0:9"]) == 0
    assert "map_bytes" not in json.loads(capsys.readouterr().out)["disk"]
    assert main(["info", "--heads", "mean"]) == 2
    assert "add --tokens N" in capsys.readouterr().err
    assert main(["info", "--tokens", "100", "--window", "9"]) == 2

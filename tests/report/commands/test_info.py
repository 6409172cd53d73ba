"""`info` prints numbers with units, refuses what `extract` refuses, and says what comes next."""

import json
import os
import re

import pytest
import torch

from attentropy.engine.cost import speed
from attentropy.kernels.native import library
from attentropy.report.cli import main
from attentropy.report.commands.info_text import describe_lines, prediction_lines
from attentropy.report.units import format_bytes, format_flops, format_seconds
from traces import save_synthetic

# What `describe` returned for a long prompt on a slow machine, as far as people read it.
FACTS = {
    "name": "a model",
    "lens": {
        "tokens": 1_048_576, "dtype": "float32", "parameters": 134_515_008,
        "forward_flops": 3.23e11,
        "by default": {
            "positions": 1024, "flops": 5.28e12, "of_the_forward_pass": 2.393, "kept_bytes": 70_800,
        },
        "at every position": {
            "positions": 1_048_576, "flops": 3e16, "of_the_forward_pass": 13.64,
            "kept_bytes": 566_200_000,
        },
    },
    "run": {
        "chunk": 2048, "lens_positions": 1024, "map_tile": [64, 32],
        "thumbnail_tile": 1024,
        "reference_questions": 6, "reference_tokens": 240, "reference_passes": 1,
    },
    "memory": {
        "device": "cpu", "dtype": "float32", "weights_bytes": 538_100_000,
        "cache_bytes": 377_500_000_000, "statistics_bytes": 1, "lens_bytes": 2,
        "activations_bytes": 3, "peak_bytes": 380_000_000_000, "available_bytes": 23_500_000_000,
        "too_much": "it fits with --device cpu",
        "peak_with_option_bytes": {"--chunk 512": 379_000_000_000},
    },
    "disk": {"statistics_bytes": 43_100_000, "tokens_bytes": 21, "all_bytes": 2_512_000_000_000},
    "seconds": {
        "load": 0.7, "check": 0.01, "read_the_prompt": 2.2e6, "sweep_again": 93, "answer": 45,
        "read_the_lens": 5400, "token_logprobs": 90, "read_the_reference": 7, "all": 2.29e6,
    },
}  # fmt: skip


def test_a_prediction_is_printed_in_units_that_people_read():
    text = "\n".join(prediction_lines(FACTS))
    for words in (
        "a model, a prompt of 1,048,576 tokens", "Time: about 27 days", "loading the model",
        "0.7 s", "under 0.1 s", "25 days", "1 min 33 s", "45 s", "1 h 30 min",
        "Memory: 380.0 GB at the peak, 23.5 GB available",
        "more than is available; it fits with --device cpu", "--chunk 512  379.0 GB",
        "Disk: about 2.5 TB", "Logit lens: 1,024 of 1,048,576 positions", "323 GFLOP",
        "5.28 TFLOP, 2.39 × the model's own pass", "30 PFLOP",
        "Attention map: tiles of 64 queries × 32 keys", "7.0 s",
        "Thumbnails of the heads: tiles of 1,024 tokens × 1,024",
        "Reference prompts: 6 questions in the model's chat template, about 240 tokens in 1 pass; "
        "none without a template",
    ):  # fmt: skip
        assert words in text
    assert not re.search(r"\de[+-]?\d|_bytes|_flops|None|[0-9]{5}", text)


def test_a_run_without_lens_and_map_of_a_small_model_is_said_in_full():
    run = FACTS["run"] | {"lens_positions": 0, "map_tile": None, "reference_questions": 0}
    memory = FACTS["memory"] | {"available_bytes": None, "peak_with_option_bytes": {}}
    text = "\n".join(prediction_lines(FACTS | {"run": run, "memory": memory}))
    assert "Logit lens: none" in text
    assert "Attention map: none" in text
    assert "Reference prompts: none" in text
    assert "at the peak\n" in text
    assert "other options" not in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "under 0.1 s"), (0.049, "under 0.1 s"), (0.06, "0.1 s"), (9.94, "9.9 s"),
        (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min"), (467, "7 min 47 s"), (3599.7, "1 h"),
        (12_000, "3 h 20 min"), (172_000, "47 h 47 min"), (172_800, "2 days"),
        (190_000, "2 days 5 h"), (2.29e6, "27 days"), (1e9, "11,574 days"),
    ],
)  # fmt: skip
def test_a_time_has_at_most_two_units(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("flops", "text"),
    [(7, "7 FLOP"), (3.23e11, "323 GFLOP"), (5.28e12, "5.28 TFLOP"), (9.996e14, "1 PFLOP"),
     (2e21, "2,000 EFLOP")],
)  # fmt: skip
def test_floating_point_operations_have_their_unit(flops, text):
    assert format_flops(flops) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 bytes"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (2.5e12, "2.5 TB"),
     (1.25e16, "12,500.0 TB")],
)  # fmt: skip
def test_bytes_have_their_unit(size, text):
    assert format_bytes(size) == text


def test_what_is_missing_has_a_word_for_it():
    facts = {"packages": {"torch": None}, "model": {"revision": None, "sizes": [], "kv_heads": 2}}
    assert list(describe_lines(facts)) == [
        "packages", "  torch  not installed",
        "model", "  revision         none", "  sizes            none", "  key/value heads  2",
    ]  # fmt: skip


@pytest.mark.costly
def test_more_tokens_than_positions_are_refused_as_extract_refuses_them(capsys, monkeypatch):
    monkeypatch.setattr(speed, "_BUDGET", 0.0)
    for arguments in (["--tokens", "4097"], ["--tokens", "16k", "--json"]):
        assert main(["info", *arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert "'attentropy-demo' supports only 4,096 tokens" in output.err
        assert "the most is --tokens 4096" in output.err
        assert output.err.count("\n") == 1
    assert main(["info", "--tokens", "4096"]) == 0
    output = capsys.readouterr()
    assert "Time: about " in output.out
    assert output.out.endswith("\nNext: attentropy report -f PROMPT.txt\n")
    assert main(["info", "--tokens", "4096", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["memory"]["peak_bytes"] > 1e6
    assert all(isinstance(value, float | int) for value in facts["seconds"].values())
    assert isinstance(facts["lens"]["forward_flops"], float | int)


@pytest.mark.costly
def test_what_to_do_next_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    save_synthetic("t.zarr.zip", layers=1, heads=1, window=False)
    assert main(["info", "t.zarr.zip"]) == 0
    assert capsys.readouterr().out.endswith("\nNext: attentropy render t.zarr.zip\n")
    assert main(["info"]) == 0
    assert 'attentropy report MODEL -p "TEXT"' in capsys.readouterr().out


def test_it_says_what_computes_attention_on_a_cpu(tmp_path, monkeypatch, capsys):
    if torch.cuda.is_available():
        pytest.skip("a GPU is here: its kernels are named")
    for path, line in (
        (os.environ["PATH"], r"attention kernel +native, C code built by /\S+"),
        (str(tmp_path), "attention kernel +portable, since .* cannot run: no C compiler is on"),
    ):
        monkeypatch.setenv("PATH", path)
        monkeypatch.setattr(library, "_loader", library._Loader())
        assert main(["info"]) == 0
        assert re.search(line, capsys.readouterr().out)

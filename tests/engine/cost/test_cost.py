"""`info` predicts the memory that a run takes, and names the options that make it fit."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from attentropy.engine.cost import predict
from attentropy.engine.cost import speed as pace
from attentropy.engine.cost.memory import alternatives, memory_bytes
from attentropy.engine.cost.predict import describe
from attentropy.engine.cost.size import RecordingSize, RunSize, model_size
from attentropy.engine.model import source as origin
from benchmarks.prediction import Subject, measured, predicted, sizes
from tiny import config, save


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which is Linux's")
@pytest.mark.parametrize(
    "subject",
    [
        Subject("untied", "llama", 777, sizes(512, 1408, 6, 8, 4, 8000)),
        Subject("bfloat16", "llama", 300, sizes(640, 2048, 5, 10, 5, 8000), torch.bfloat16),
    ],
    ids=lambda subject: subject.name,
)
def test_the_predicted_peak_of_memory_is_the_measured_one_within_a_factor_of_1_15(
    subject, tmp_path, monkeypatch
):
    monkeypatch.setattr(pace, "_BUDGET", 0.0)
    folder = subject.save(tmp_path)
    # What else the machine does can only add to the pages that are resident at the peak.
    peak = min(measured(folder, subject.tokens)["bytes"] for _ in range(3))
    assert peak / 1.15 <= predicted(folder, subject.tokens)["bytes"] <= peak * 1.15


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_of_the_model_shared_ones_once(tied):
    settings = config(tie_word_embeddings=tied)
    size = model_size(settings)
    reference = AutoModelForCausalLM.from_config(settings)
    assert size.parameters == sum(p.numel() for p in reference.parameters())
    assert size.embedding == (0 if tied else reference.get_input_embeddings().weight.numel())
    assert (size.layers, size.heads, size.key_heads, size.head_size) == (3, 4, 2, 12)


def test_of_a_mixture_a_token_meets_the_experts_it_is_sent_to():
    settings = config("mixtral", num_local_experts=4, num_experts_per_tok=1)
    size = model_size(settings)
    assert size.experts == 3 * 4 * 3 * 48 * 64
    tables = 2 * 48 * 264
    assert size.active == size.parameters - tables - size.experts * 3 // 4


def test_a_window_bounds_the_cache():
    wide = memory_bytes(model_size(config("mistral", sliding_window=None)), RunSize(4000, 4, 0))
    narrow = memory_bytes(model_size(config("mistral", sliding_window=100)), RunSize(4000, 4, 0))
    assert narrow["cache_bytes"] * 40 == wide["cache_bytes"]


def test_each_alternative_takes_less_and_the_gentlest_comes_first():
    size = replace(model_size(config()), width=4096, inner=11_008, vocabulary=128_256, layers=32,
                   heads=32, key_heads=8, head_size=128, parameters=8_030_000_000,
                   linear=7_000_000_000, stored=2)  # fmt: skip
    run = RunSize(32_768, 2, 4096, on_cpu=False)
    cheaper_runs = alternatives(size, run)
    assert next(iter(cheaper_runs)) == '`lens_positions="-128:"`'
    needed = memory_bytes(size, run)["peak_bytes"]
    peaks = {
        option: memory_bytes(size, other)["peak_bytes"] for option, other in cheaper_runs.items()
    }
    assert all(peak < needed for peak in peaks.values())
    assert '`dtype="bfloat16"`' not in cheaper_runs  # the weights are bfloat16 already
    assert peaks['`quantize="4bit"`'] < peaks['`quantize="8bit"`'] < needed


def test_a_run_that_does_not_fit_is_told_what_would(tmp_path, monkeypatch):
    sizes = {"num_hidden_layers": 8, "hidden_size": 96, "max_position_embeddings": 8192}
    folder = save(tmp_path / "tiny", **sizes)
    monkeypatch.setattr(pace, "_BUDGET", 0.0)
    monkeypatch.setattr(origin, "resolve_device", lambda device: torch.device("cpu"))
    whole = describe(folder, tokens=5000)["memory"]
    assert "too_much" not in whole
    lensless = whole["peak_with_option_bytes"]['`lens="none"`']
    monkeypatch.setattr(predict, "free_bytes", lambda device: lensless)
    assert 'it fits with `lens="none"`' in describe(folder, tokens=5000)["memory"]["too_much"]
    monkeypatch.setattr(predict, "free_bytes", lambda device: 1)
    advice = describe(folder, tokens=5000)["memory"]["too_much"]
    assert advice == 'it fits with another device, or `device="auto"`'


def test_time_is_the_sum_of_its_stages_and_grows_with_the_prompt():
    size = model_size(config())
    rates = pace.Rates(product=1e10, copied=1e9, scores=1e8, lens=1e10)
    short, long = (pace.duration(size, RunSize(n, 4, n), rates) for n in (1000, 2000))
    assert short["all"] == pytest.approx(sum(v for k, v in short.items() if k != "all"))
    assert 2 < long["read_the_prompt"] / short["read_the_prompt"] < 4
    assert pace.duration(size, RunSize(1000, 4, 0), rates)["read_the_lens"] == 0
    silent = RunSize(1000, 4, 0, recording=RecordingSize(token_logprob=False))
    assert pace.duration(size, silent, rates)["token_logprobs"] == 0 < short["token_logprobs"]

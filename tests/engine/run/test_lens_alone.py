"""The lens alone: for models without attention, and for those whose attention nobody asked for."""

import numpy as np
import pytest
import torch

import tiny
from attentropy.engine.cost.predict import describe
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from pictures import without_pictures

TEXT = "Paris is the capital of France, and Rome is that of Italy."
KINDS = {
    "mamba2": {
        "num_heads": 4, "head_dim": 24, "n_groups": 1, "state_size": 8, "expand": 2,
        "chunk_size": 16,
    },
    "mamba": {},
    "llama": {},
}  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def subject(request):
    """Return a model, with attention or without."""
    return tiny.model(request.param, **KINDS[request.param])


def _extract(subject, **options):
    return extract(subject, TEXT, tokenizer=tiny.tokenizer(), max_new_tokens=3, **options)


def test_the_lens_alone_is_that_of_the_models_own_outputs(subject):
    trace = _extract(subject, stats="none")
    with torch.no_grad():
        logits = subject(torch.tensor(trace["token_ids"][None]).long()).logits[0].double()
    logprobs = logits.log_softmax(-1)
    wanted = -(logprobs.exp() * logprobs).sum(-1)
    np.testing.assert_allclose(trace["lens_entropy"][0, -1], wanted, atol=1e-4)
    assert trace["generated_ids"][0] == int(logits[trace.prompt_tokens - 1].argmax())
    assert np.isfinite(trace["lens_entropy"]).all()
    assert np.isnan(trace["entropy"]).all()
    assert set(trace["attention_note"]) == {"not recorded (`stats`)"}
    assert "attention was not recorded" in " ".join(trace.attrs["notes"])
    assert not [name for name in trace.dataset.variables if str(name).startswith("head_")]


def test_the_lens_alone_is_that_of_a_run_in_chunks_into_a_folder(subject, tmp_path):
    whole = _extract(subject, stats=())
    _extract(subject, stats="none", chunk=24, output=tmp_path / "t.zarr")
    trace = Trace.open(tmp_path / "t.zarr")
    np.testing.assert_allclose(trace["lens_entropy"], whole["lens_entropy"], atol=1e-4)


@pytest.mark.costly
def test_its_page_is_written(subject):
    trace = _extract(subject, stats="none")
    with without_pictures():
        page = render(trace, observe(trace))
    assert "attention was not recorded" in page


def test_a_model_without_attention_names_the_way():
    with pytest.raises(AttentropyError, match='`stats="none"`') as refusal:
        _extract(tiny.model("mamba2", **KINDS["mamba2"]))
    assert "no attention entropy to record" in str(refusal.value)


def test_the_command_line_has_it_too(tmp_path, capsys):
    folder = tiny.save(tmp_path / "m", "mamba2", **KINDS["mamba2"])
    arguments = ["extract", str(folder), "-p", TEXT, "-o", str(tmp_path / "t.zarr")]
    assert main(arguments) != 0
    assert "--stats none" in capsys.readouterr().err
    assert main([*arguments, "--stats", "none"]) == 0
    assert describe(folder, tokens=64, stats="none")["run"]


def test_weights_of_attention_are_not_to_be_had_with_the_lens_alone():
    with pytest.raises(UsageError, match="`windows`"):
        _extract(tiny.model(), stats="none", windows="0:4,0:4")

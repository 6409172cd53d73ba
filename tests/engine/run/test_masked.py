"""A masked LM is told apart: its attention and its own head's lens, and no next-token part."""

import json

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

import tiny
from attentropy import compare
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render

_SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3} | {
    "num_attention_heads": 4, "vocab_size": 264, "pad_token_id": 257,
}  # fmt: skip
_NEXT_TOKEN = {
    "generated_ids", "generated_text", "rehearsal", "target_ids", "lens_rank",
    "lens_target_logprob", "token_logprob",
}  # fmt: skip
TEXT = "Paris is the capital of France."


def _model(kind):
    torch.manual_seed(0)
    config, model = {
        "bert": (BertConfig(**_SIZES), BertForMaskedLM),
        "modernbert": (
            ModernBertConfig(
                **_SIZES, local_attention=8, cls_token_id=256, sep_token_id=257,
                bos_token_id=256, eos_token_id=257,
            ),
            ModernBertForMaskedLM,
        ),
        "roberta": (RobertaConfig(**(_SIZES | {"pad_token_id": 1})), RobertaForMaskedLM),
    }[kind]  # fmt: skip
    random = model(config).eval()
    with torch.no_grad():
        for name, parameter in random.named_parameters():
            if parameter.ndim == 2 and "norm" not in name:
                parameter.mul_(4.0)
    return random


@pytest.fixture(scope="module", params=["bert", "modernbert", "roberta"])
def folder(request, tmp_path_factory):
    """Return the folder of a masked LM."""
    folder = tmp_path_factory.mktemp(request.param)
    _model(request.param).save_pretrained(folder)
    tiny.tokenizer(None).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def traces(folder):
    """Return the traces of the folder, and of the loaded model."""
    loaded = _model(next(kind for kind in ("modernbert", "roberta", "bert") if kind in folder.name))
    return extract(folder, TEXT, device="cpu"), extract(
        loaded, TEXT, tokenizer=tiny.tokenizer(None)
    )


def test_a_masked_lm_has_no_next_token_part_and_the_notes_say_so(traces):
    for trace in traces:
        assert not _NEXT_TOKEN & {str(name) for name in trace.dataset.variables}
        assert "answer" not in trace.attrs
        assert "masked language model" in " ".join(trace.attrs["notes"])
    np.testing.assert_allclose(traces[0]["entropy"], traces[1]["entropy"], atol=1e-6)


def test_its_attention_and_the_lens_of_its_own_head_are_the_models(traces):
    trace = traces[1]
    kind = trace.attrs["model"]["type"]
    model = _model(kind).double()
    model.set_attn_implementation("eager")
    ids = torch.tensor(trace["token_ids"][None]).long()
    with torch.no_grad():
        output = model(ids, output_attentions=True)
    weights = torch.stack([w[0] for w in output.attentions])
    wanted = -torch.where(weights > 0, weights * weights.log(), 0.0).sum(-1)
    np.testing.assert_allclose(trace["entropy"], wanted, atol=2e-5)
    logprobs = output.logits[0].log_softmax(-1)
    np.testing.assert_allclose(
        trace["lens_entropy"][0, -1], -(logprobs.exp() * logprobs).sum(-1), atol=1e-4
    )
    assert (trace["lens_top_ids"][0, -1, :, 0] == logprobs.argmax(-1).numpy()).mean() > 0.95


@pytest.mark.costly
@pytest.mark.parametrize("folder", ["bert"], indirect=True)
def test_page_findings_exports_and_compare_take_such_a_trace(traces, tmp_path):
    a, b = traces
    page = render(a, observe(a))
    assert "masked language model" in page
    words = " ".join(finding.text for finding in observe(a))
    assert "answer" not in words
    a.save(tmp_path / "a.zarr")
    again = Trace.open(tmp_path / "a.zarr")
    compare(again, b).report(tmp_path / "c.html")
    for figure, stat in (("lens", "entropy"), ("lens", "lens_kl"), ("attention", "entropy")):
        assert a.export(figure=figure, format="csv", stat=stat)


def test_the_command_line_reads_the_folder(folder, tmp_path, capsys):
    target = str(tmp_path / "t.zarr")
    assert main(["extract", str(folder), "-p", TEXT, "-o", target, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] is None
    assert main(["extract", str(folder), "-p", TEXT, "-o", target, "--force"]) == 0
    assert "Answer" not in capsys.readouterr().err


def test_a_run_of_a_masked_lm_in_a_folder_is_the_same(traces, folder, tmp_path):
    trace = extract(folder, TEXT, device="cpu", output=tmp_path / "t.zarr")
    assert "answer" not in trace.attrs
    np.testing.assert_array_equal(trace["lens_entropy"], traces[0]["lens_entropy"])


def test_a_model_that_was_saved_as_a_causal_one_stays_causal(tmp_path):
    config = BertConfig(**_SIZES, is_decoder=True)
    torch.manual_seed(0)
    BertLMHeadModel(config).save_pretrained(tmp_path)
    tiny.tokenizer(None).save_pretrained(tmp_path)
    trace = extract(tmp_path, TEXT, device="cpu", max_new_tokens=2)
    assert "target_ids" in trace.dataset.variables
    assert not trace.attrs["notes"]

"""Models that accelerate places on several devices or a disk, and quantized models."""

import importlib.util
import os
import re

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.errors import UsageError, install_command
from attentropy.engine.lens.lens import Lens
from attentropy.engine.model import devices
from attentropy.engine.model.load import load
from attentropy.engine.run.extract import extract
from attentropy.kernels.common.mask import Mask
from tiny import save

DISK = {
    "model.embed_tokens": "disk", "model.layers.0": "cpu", "model.layers.1": "disk",
    "model.layers.2": "disk", "model.norm": "disk", "model.rotary_emb": "cpu", "lm_head": "disk",
}  # fmt: skip


def _needs(library):
    """Skip the test without the library, but fail it in CI."""
    if importlib.util.find_spec(library) is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI has no {library}: the placements were not tested")
        pytest.skip(f"no {library} here: {install_command('placement')}")


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "tiny")


@pytest.fixture
def plain(folder):
    return extract(folder, "Hello there", device="cpu", lens=("residual", "mlp"))


def _offloaded(folder, **placement):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, **placement).eval()
    return extract(model, "Hello there", tokenizer=tokenizer, lens=("residual", "mlp"))


def _same(trace, plain):
    assert set(trace.dataset.data_vars) == set(plain.dataset.data_vars)
    for name, values in plain.dataset.data_vars.items():
        np.testing.assert_array_equal(trace.dataset[name].values, values.values, err_msg=str(name))


def test_weights_on_a_disk_give_the_trace_of_the_whole_model(folder, plain, tmp_path):
    _needs("accelerate")
    trace = _offloaded(folder, device_map=DISK, offload_folder=str(tmp_path / "disk"))
    _same(trace, plain)
    assert not trace.attrs["notes"]
    assert trace.attrs["model"]["device"] == "cpu"


def test_weights_that_accelerate_brings_in_at_each_call_give_the_same_trace(folder, plain):
    _needs("accelerate")
    from accelerate import cpu_offload

    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    cpu_offload(model, execution_device=torch.device("cpu"))
    assert model.device.type == "meta"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _same(extract(model, "Hello there", tokenizer=tokenizer, lens=("residual", "mlp")), plain)


def test_auto_shares_the_model_out_over_what_there_is(folder, plain):
    _needs("accelerate")
    if torch.cuda.is_available():
        pytest.skip("with GPUs the numbers are theirs")
    _same(extract(folder, "Hello there", device="auto", lens=("residual", "mlp")), plain)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_weights_in_fewer_bits_are_recorded(tmp_path, bits):
    _needs("accelerate")
    _needs("bitsandbytes")
    # The 4-bit kernel for processors with AVX-512 BF16 takes only matrices whose sides are
    # multiples of 32. On other processors the same model must work, too.
    folder = save(tmp_path / "even", hidden_size=64, intermediate_size=128)
    exact = extract(folder, "Hello there", device="cpu")
    quantized = extract(folder, "Hello there", device="cpu", quantize=bits, test_sources="none")
    assert not quantized.attrs["notes"]
    assert quantized.attrs["model"]["quantization"] == bits
    assert "quantization" not in exact.attrs["model"]
    assert quantized.attrs["model"]["parameters"] == exact.attrs["model"]["parameters"]
    difference = np.abs(quantized["entropy"] - exact["entropy"])
    assert 0 < difference.max() < 2.0


@pytest.mark.parametrize(
    ("option", "missing"),
    [({"device": "auto"}, "accelerate"), ({"quantize": "4bit"}, "bitsandbytes"),
     ({"quantize": "8bit"}, "accelerate")],
)  # fmt: skip
def test_a_library_that_is_missing_is_named_with_the_way_to_get_it(
    folder, option, missing, monkeypatch
):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "attentropy.engine.model.load.find_spec",
        lambda name: None if name == missing else find_spec("json"),
    )
    needed = f"needs {missing}; run: {install_command('placement')}"
    with pytest.raises(UsageError, match=re.escape(needed)) as caught:
        load(folder, **option)
    assert "\n" not in str(caught.value)


def test_an_unknown_number_of_bits_is_refused(folder):
    with pytest.raises(UsageError, match="`quantize` must be 4bit or 8bit, not '3bit'"):
        load(folder, quantize="3bit")


def test_the_masks_padding_moves_with_the_layer():
    visibility = Visibility(
        Mask(4, 4, 0, key_starts=torch.tensor([1]), key_lengths=torch.tensor([3]))
    )
    moved = visibility.to("meta", non_blocking=True)
    assert moved.mask.key_starts.device.type == moved.mask.key_lengths.device.type == "meta"
    assert (moved.queries, moved.mask.causal) == (4, True)
    plain = Visibility(Mask(4, 4, 0))
    assert plain.to("meta") is plain


def test_the_lens_norms_where_the_norm_is_and_reads_where_the_head_is():
    head = torch.empty(16, 8, device="meta")
    lens = Lens(nn.LayerNorm(8), head, None, 1.0, None)
    assert lens.normed(torch.randn(3, 8)).device.type == "meta"


def test_a_model_on_one_device_is_where_its_parameters_are(embedded):
    assert devices.input_device(embedded.model) == torch.device("cpu")
    assert devices.device_names(embedded.model) == ["cpu"]
    assert (
        devices.fetch_parameter(embedded.model.lm_head, "weight") is embedded.model.lm_head.weight
    )

"""A model from a stranger is data, and what cannot be loaded is refused in one line."""

import json

import pytest
import torch

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.models import describe, load
from tiny import save


@pytest.fixture
def folder(tmp_path):
    return save(tmp_path / "tiny-model")


def _refused(folder, kind=AttentropyError, **options):
    with pytest.raises(kind) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)
    assert str(folder.parent) not in str(caught.value)
    return str(caught.value)


def test_a_folder_loads_under_its_own_name(folder):
    loaded = load(folder, device="cpu")
    assert loaded.name == "tiny-model"
    assert not loaded.model.training
    assert describe(folder)["layers"] == 3


def test_a_folder_without_safetensors_is_refused(folder):
    weights = next(folder.glob("*.safetensors"))
    torch.save({}, folder / "pytorch_model.bin")
    weights.unlink()
    assert "safetensors" in _refused(folder, UsageError)


def test_a_folder_without_tokenizer_is_refused(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert "tokenizer" in _refused(folder, UsageError)


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "config.json" in _refused(tmp_path / "empty", UsageError)
    with pytest.raises(UsageError, match="no model folder"):
        load(tmp_path / "none")


@pytest.mark.parametrize("name", ["../evil.safetensors", "weights.bin", "/etc/x.safetensors"])
def test_an_index_that_leads_elsewhere_is_refused(folder, name):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "refused" in _refused(folder, UsageError)


def test_code_of_the_models_own_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("import pathlib; pathlib.Path(__file__).unlink()")
    _refused(folder)
    assert (folder / "evil.py").exists()


def test_an_attention_kernel_named_by_the_configuration_is_ignored(folder):
    config = json.loads((folder / "config.json").read_text())
    config["_attn_implementation"] = "someone/evil-kernel"
    config["attn_implementation"] = "someone/evil-kernel"
    (folder / "config.json").write_text(json.dumps(config))
    assert load(folder).model.config._attn_implementation in ("sdpa", "eager")


def test_an_adapter_is_refused(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter" in _refused(folder, UsageError)


def test_broken_weights_are_refused_in_one_line(folder):
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:100])
    _refused(folder)


@pytest.mark.parametrize(
    "option", [{"dtype": "int3"}, {"device": "cuda:77"}, {"device": "toaster"}]
)
def test_an_unknown_dtype_or_device_is_refused(folder, option):
    _refused(folder, UsageError, **option)


def test_a_hub_model_out_of_reach_is_refused_in_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AttentropyError) as caught:
        load("attentropy-tests/no-such-model")
    assert "\n" not in str(caught.value)

"""An untrusted model is only data; a model that cannot be loaded is refused in one line."""

import contextlib
import json
import os

import pytest
import torch

from attentropy.engine.cost.predict import describe
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model import config as config_module
from attentropy.engine.model.load import load
from counted import bytes_read, counted_calls
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
    assert "may only name .safetensors files" in _refused(folder, UsageError)


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


def _configure(folder, **changes):
    """Change the folder's config.json; a value of None removes the key."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def test_code_beside_a_known_model_is_not_run_and_it_is_said(folder):
    _configure(folder, auto_map={"AutoModelForCausalLM": "evil.Model"})
    (folder / "evil.py").write_text("import pathlib; pathlib.Path(__file__).unlink()")
    loaded = load(folder)
    assert (folder / "evil.py").exists()
    assert "never run" in loaded.notes[0]


def test_a_tokenizer_with_code_of_its_own_is_not_run(folder):
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    config |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Slow", "evil.Fast"]}}
    file.write_text(json.dumps(config))
    (folder / "evil.py").write_text("import pathlib; pathlib.Path(__file__).unlink()")
    with contextlib.suppress(AttentropyError):
        load(folder)
    assert (folder / "evil.py").exists()


class Evil:
    """An object whose pickle runs code when it is read."""

    def __reduce__(self):
        return (os.mkdir, ("taken",))


@pytest.mark.parametrize("named", ["pytorch_model.bin", "evil.safetensors.index.json"])
def test_pickles_beside_safetensors_are_never_read(folder, named, monkeypatch):
    monkeypatch.chdir(folder)
    torch.save(Evil(), folder / "pytorch_model.bin")
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "pytorch_model.bin"}}
    (folder / "evil.safetensors.index.json").write_text(json.dumps(index))
    _configure(folder, transformers_weights=named)
    load(folder)
    assert not (folder / "taken").exists()


ABSURD = {
    "layers without end": {"num_hidden_layers": 10**9},
    "more layers than tensors": {"num_hidden_layers": 31},
    "one layer more": {"num_hidden_layers": 4},
    "no layer": {"num_hidden_layers": 0},
    "less than none": {"num_hidden_layers": -1},
    "wide": {"hidden_size": 10**12},
    "wider": {"hidden_size": 4 * 10**18},
    "negative": {"hidden_size": -48},
    "text": {"hidden_size": "48"},
    "fraction": {"hidden_size": 48.5},
    "not a number": {"rms_norm_eps": float("nan")},
    "no heads": {"num_attention_heads": 0},
    "deep heads": {"head_dim": 10**9},
    "vocabulary": {"vocab_size": 10**10},
    "mismatch": {"intermediate_size": 65},
    "labels": {"num_labels": 10**9},
    "positions": {"max_position_embeddings": -3},
    "list": {"num_hidden_layers": [3]},
    "rope": {"rope_parameters": {"rope_type": "evil"}},
    "other family": {"model_type": "gpt2", "n_positions": 10**7, "n_embd": 48, "n_layer": 1},
    "tables": {"model_type": "gptj", "n_positions": 10**6, "n_embd": 16, "n_layer": 1,
               "rotary_dim": 4, "n_head": 4},
    "nothing": {"model_type": None},
    "quantised": {"quantization_config": {"quant_method": "evil"}},
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_numbers_are_refused_before_anything_is_built(folder, name, monkeypatch):
    if name == "labels":  # they fill the memory of the child process, which takes time
        monkeypatch.setattr(config_module, "_MEBIBYTES", 64)
        load(folder)  # which has room
    _configure(folder, **ABSURD[name])
    with counted_calls() as calls:
        _refused(folder)
    assert calls.count < 10_000_000


def _header(length, header, body=b""):
    return length.to_bytes(8, "little") + header + body


def _tensor(shape, offsets):
    entry = {"lm_head.weight": {"dtype": "F32", "shape": shape, "data_offsets": offsets}}
    return json.dumps(entry).encode()


LIES = {
    "header beyond the file": _header(2**40, b"{}"),
    "header of any length": _header(2**63, b"{}"),
    "shape beyond the data": _header(
        len(_tensor([10**9, 10**3], [0, 8])), _tensor([10**9, 10**3], [0, 8]), b"\0" * 8
    ),
    "offsets beyond the file": _header(
        len(_tensor([10**9], [0, 4 * 10**9])), _tensor([10**9], [0, 4 * 10**9]), b"\0" * 8
    ),
    "offsets backwards": _header(len(_tensor([2], [8, 0])), _tensor([2], [8, 0]), b"\0" * 8),
    "shape that overflows": _header(
        len(_tensor([2**40, 2**40], [0, 8])), _tensor([2**40, 2**40], [0, 8]), b"\0" * 8
    ),
    "no JSON": _header(8, b"garbage!", b"\0" * 8),
    "empty": b"",
    "a pickle": b"\x80\x02cos\nmkdir\nX\x05\x00\x00\x00taken\x85R.",
}


@pytest.mark.parametrize("name", LIES)
def test_weights_that_lie_about_themselves_are_refused(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "model.safetensors").write_bytes(LIES[name])
    _refused(folder)
    assert not (folder / "taken").exists()


BROKEN = [
    "{", "[]", "null", "{}", "[" * 100_000, '{"added_tokens": [], "model": {"type": "BPE"}}',
    '{"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 99999999999}, "merges": []}}',
    '{"added_tokens": [], "model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}',
    '{"added_tokens": [{"id": 7, "content": "x"}], "model": {"type": "BPE"}}', "\ufeff\x00",
]  # fmt: skip


@pytest.mark.parametrize("written", BROKEN)
def test_a_broken_tokenizer_is_refused(folder, written):
    (folder / "tokenizer.json").write_text(written)
    _refused(folder)


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "chat_template.jinja"])
def test_a_huge_file_is_refused_unread(folder, name):
    with open(folder / name, "r+b") as file:
        file.truncate(10**12)  # sparse: takes no disk space
    before = bytes_read()
    assert "too large" in _refused(folder)
    assert bytes_read() - before < 100_000_000


def test_a_tensor_without_a_place_is_said(folder):
    _configure(folder, num_hidden_layers=2)
    assert "that the model does not use" in load(folder).notes[0]


def test_a_model_of_the_hub_is_held_to_the_same(folder, tmp_path, monkeypatch):
    """The test uses a cache as the hub's client leaves it, without access to the hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    hub = tmp_path / "cache" / "models--org--tiny"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("0123abcd")
    (hub / "snapshots").mkdir()
    folder = folder.rename(hub / "snapshots" / "0123abcd")
    assert describe("org/tiny")["layers"] == 3
    loaded = load("org/tiny", device="cpu")
    assert (loaded.name, loaded.revision) == ("org/tiny", "0123abcd")
    _configure(folder, num_hidden_layers=10**9)
    with pytest.raises(AttentropyError, match="1,000,000,000 layers"):
        load("org/tiny")
    index = {"weight_map": {"a": "../x.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(AttentropyError, match=r"may only name \.safetensors files"):
        load("org/tiny")


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
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(AttentropyError) as caught:
        load("attentropy-tests/no-such-model")
    assert "\n" not in str(caught.value)

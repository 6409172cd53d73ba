"""A GGUF file is a model: the same values as from safetensors; hostile headers are refused."""

import json
import math
import re
import struct
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

import ggufs
import tiny
from attentropy.engine.cost import speed
from attentropy.engine.cost.memory import memory_bytes
from attentropy.engine.cost.predict import describe
from attentropy.engine.cost.size import RunSize, model_size
from attentropy.engine.errors import AttentropyError, UsageError, install_command
from attentropy.engine.model.config import read_config
from attentropy.engine.model.gguf import read_header
from attentropy.engine.model.load import with_random_weights
from attentropy.engine.profile.profile import profile
from attentropy.engine.run.extract import extract
from attentropy.report.cli import main
from pictures import without_pictures

MESSAGES = [{"role": "user", "content": "Hello there, whoever you are."}]
needs_gguf = pytest.mark.skipif(
    not ggufs.can_be_read(),
    reason="gguf and accelerate are not installed (the extra `gguf`), or transformers is too old",
)


@pytest.fixture(scope="module", params=["F32", "Q8_0"])
def pair(request, tmp_path_factory):
    """Return a GGUF file, the folder with the same weights, and the type of the file's."""
    folder = tmp_path_factory.mktemp(request.param)
    file = folder / "model.gguf"
    ggufs.write(file, request.param).save_pretrained(folder / "plain")
    tiny.tokenizer().save_pretrained(folder / "plain")
    # What lies next to the file belongs to another model.
    (folder / "tokenizer_config.json").write_text('{"chat_template": "wrong"}')
    (folder / "adapter_config.json").write_text("{}")
    return file, folder / "plain", request.param


@needs_gguf
def test_a_gguf_file_gives_what_the_safetensors_give(pair):
    file, folder, quantization = pair
    ours, wanted = (
        extract(source, MESSAGES, device="cpu", max_new_tokens=2) for source in (file, folder)
    )
    for name in ("token_ids", "role", "token_text", "generated_ids"):
        assert list(ours[name]) == list(wanted[name])
    for name in ("entropy", "lens_entropy", "token_logprob"):
        np.testing.assert_allclose(ours[name], wanted[name], atol=1e-5)
    assert ours.attrs["model"]["quantization"] == quantization
    assert ours.attrs["model"]["name"] == "model.gguf"
    template = "chat_template_sha256"
    assert ours.attrs["tokenizer"][template] == wanted.attrs["tokenizer"][template]
    assert f"GGUF file ({quantization}" in ours.attrs["notes"][0]
    assert ("dequantized" in ours.attrs["notes"][0]) == (quantization == "Q8_0")
    assert str(file.parent) not in json.dumps(dict(ours.attrs), default=str)


@needs_gguf
@pytest.mark.costly
def test_the_page_says_what_the_weights_are(pair, tmp_path, capsys):
    file, _, quantization = pair
    page = tmp_path / "r.html"
    with without_pictures():
        assert main(["report", str(file), "-p", "Hello", "-o", str(page), "--device", "cpu"]) == 0
    assert f"GGUF file ({quantization}" in page.read_text("utf-8")
    assert "de-quantizing" not in capsys.readouterr().err


@needs_gguf
def test_a_template_from_a_gguf_file_runs_in_the_sandbox(tmp_path, monkeypatch):
    words = tiny.tokenizer("{% for i in range(10**9) %}{{ i }}{% endfor %}")
    monkeypatch.setattr(ggufs, "tokenizer", lambda: words)
    ggufs.write(tmp_path / "m.gguf")
    with pytest.raises(UsageError, match="chat template"):
        extract(tmp_path / "m.gguf", MESSAGES, device="cpu")


@needs_gguf
def test_a_file_of_ollama_has_no_ending(pair, tmp_path):
    blob = tmp_path / "sha256-5ee4f07cdb9beadbbb293e85803c569b01bd37ed059d2715faa7bb405f31caa6"
    blob.symlink_to(pair[0])
    trace = extract(blob, MESSAGES, device="cpu", max_new_tokens=0)
    assert trace.attrs["model"]["name"] == pair[0].name or blob.name
    assert trace.attrs["model"]["quantization"] == pair[2]
    assert describe(blob)["quantization"] == pair[2]
    (tmp_path / "notes.txt").write_text("GGU")
    with pytest.raises(UsageError, match=r"'notes.txt' is a file; give a model folder, a \.gguf"):
        extract(tmp_path / "notes.txt", "Hello")


@needs_gguf
def test_options_that_a_gguf_file_does_not_have_are_refused(pair):
    with pytest.raises(UsageError, match="leave `quantize` out"):
        extract(pair[0], "Hello", device="cpu", quantize="8bit")


@needs_gguf
def test_it_is_described_as_the_folder_with_the_same_weights_is(pair, monkeypatch):
    monkeypatch.setattr(speed, "_BUDGET", 0.0)
    file, folder, quantization = pair
    names = {"name": "model.gguf", "quantization": quantization}
    assert describe(file) == describe(folder) | names
    ours, wanted = (describe(source, tokens=64) for source in (file, folder))
    for fact in ("run", "lens", "disk", "positions", "parameters"):
        assert ours[fact] == wanted[fact]
    memory, others = ours["memory"], wanted["memory"]["peak_with_option_bytes"]
    for part in ("weights_bytes", "cache_bytes", "lens_bytes", "dtype"):
        assert memory[part] == wanted["memory"][part]
    assert any("quantize" in option for option in others)
    assert not any("quantize" in option for option in memory["peak_with_option_bytes"])


@needs_gguf
def test_loading_takes_memory_for_the_mapped_file_and_time_to_unpack_it(pair, monkeypatch):
    monkeypatch.setattr(speed, "_BUDGET", 0.0)
    header = read_header(pair[0], "m")
    size = model_size(read_config(pair[1], "m"), header)
    weights = 4 * size.parameters
    for file_bytes in (10**9, 2 * 10**9):
        sizes = replace(header.sizes, bytes=file_bytes)
        larger = replace(size, gguf=replace(header, sizes=sizes))
        peak = memory_bytes(larger, RunSize(64, 4, 64))["peak_bytes"]
        assert 0 < peak - weights - file_bytes < 2**27
    run, cpu = RunSize(64, 4, 64), torch.device("cpu")
    rates = speed.measure_rates(size, run, cpu, torch.float32)
    assert 0 < rates.unpacked < math.inf
    loads = [
        speed.duration(size, run, replace(rates, unpacked=rate))["load"]
        for rate in (size.parameters, size.parameters / 3)
    ]
    assert loads[1] - loads[0] == pytest.approx(2.0)


@needs_gguf
def test_random_weights_need_its_header_alone(pair):
    file, folder, _ = pair
    ours, wanted = with_random_weights(file, device="cpu"), with_random_weights(folder)
    assert ours.model.dtype == wanted.model.dtype
    drawn = ours.model.state_dict()
    for name, value in wanted.model.state_dict().items():
        assert value.shape == drawn[name].shape
        # The file names no padding, whose row of the table the folder's configuration clears.
        assert value.equal(drawn[name]) or name == "model.embed_tokens.weight"
    words = ggufs.vocabulary(ours.model.config.vocab_size)
    assert ours.tokenizer.get_vocab().items() >= words.items()
    assert (ours.name, ours.quantization) == ("model.gguf", None)
    assert str(file.parent) not in str(ours.model.config)
    trace = profile(file, tokens=40, random_weights=True, repeat=1, device="cpu")
    assert trace.attrs["profile"]["random_weights"] is True


@needs_gguf
@pytest.mark.costly
def test_the_command_line_describes_it_too(pair, capsys, monkeypatch):
    monkeypatch.setattr(speed, "_BUDGET", 0.0)
    file, _, quantization = pair
    assert main(["info", str(file)]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"^quantization +{quantization}$", text, re.MULTILINE)
    assert re.search(r"^parameters +[\d,]+$", text, re.MULTILINE)
    assert main(["info", str(file), "--tokens", "64"]) == 0
    text = capsys.readouterr().out
    assert "model.gguf, a prompt of 64 tokens" in text
    assert main(["info", str(file), "--tokens", "257"]) == 2
    assert "the most is --tokens 256" in capsys.readouterr().err


def test_the_library_that_is_missing_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("attentropy.engine.model.gguf.find_spec", lambda name: None)
    needed = f"needs gguf; run: {install_command('gguf')}"
    for use in (lambda file: extract(file, "Hello"), describe, with_random_weights):
        with pytest.raises(UsageError, match=re.escape(needed)):
            use(tmp_path / "m.gguf")


def test_a_transformers_that_is_too_old_is_refused_with_the_way_to_a_newer_one(
    tmp_path, monkeypatch
):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr("attentropy.engine.model.gguf.find_spec", lambda name: object())
    monkeypatch.setattr("attentropy.engine.model.gguf.version", lambda name: "5.17.0")
    needed = "needs transformers 5.18 or newer, not 5.17.0; run: pip install 'transformers>=5.18'"
    for use in (lambda file: extract(file, "Hello"), describe, with_random_weights):
        with pytest.raises(UsageError, match=re.escape(needed)):
            use(tmp_path / "m.gguf")


def _text(text):
    return struct.pack("<Q", len(text)) + text


def _header(tensors=0, keys=0, version=3, body=b""):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + body


def _tensor(shape, kind=0, offset=0):
    sizes = struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", n) for n in shape[:8])
    return _text(b"t") + sizes + struct.pack("<IQ", kind, offset)


HOSTILE = {
    "empty": b"",
    "other": b"PK\x03\x04" + bytes(100),
    "version": _header(version=7),
    "tensors": _header(tensors=2**60),
    "keys": _header(keys=2**60),
    "name": _header(keys=1, body=struct.pack("<Q", 2**62)),
    "no text": _header(keys=1, body=_text(b"\xff\xfe") + struct.pack("<I", 4)),
    "text": _header(keys=1, body=_text(b"k") + struct.pack("<IQ", 8, 2**61)),
    "numbers": _header(keys=1, body=_text(b"k") + struct.pack("<IIQ", 9, 4, 2**61)),
    "texts": _header(keys=1, body=_text(b"k") + struct.pack("<IIQ", 9, 8, 2**61)),
    "nested": _header(keys=1, body=_text(b"k") + struct.pack("<IIQ", 9, 9, 1)),
    "type": _header(keys=1, body=_text(b"k") + struct.pack("<I", 99)),
    "not finite": _header(keys=1, body=_text(b"k") + struct.pack("<If", 6, float("nan"))),
    "alignment": _header(
        keys=1, body=_text(b"general.alignment") + struct.pack("<II", 4, 0) + bytes(64)
    ),
    "dimensions": _header(tensors=1, body=_tensor([1] * 8) + bytes(64)),
    "shape": _header(tensors=1, body=_tensor([2**40, 2**40]) + bytes(64)),
    "zero": _header(tensors=1, body=_tensor([0]) + bytes(64)),
    "offset": _header(tensors=1, body=_tensor([4], offset=2**50) + bytes(64)),
    "kind": _header(tensors=1, body=_tensor([4], kind=250) + bytes(64)),
    "cut": _header(tensors=1, body=_text(b"t")),
    "part": _header(keys=1, body=_text(b"split.count") + struct.pack("<IH", 2, 3)),
}


@needs_gguf
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_header_is_refused_in_one_line_and_little_memory(kind, tmp_path):
    file = tmp_path / "m.gguf"
    file.write_bytes(HOSTILE[kind])
    read_header_error = pytest.raises(AttentropyError, match="is not a GGUF file that can be read")
    tracemalloc.start()
    try:
        with read_header_error as refusal:
            read_header(file, file.name)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)
    for use in (lambda file: extract(file, "Hello", device="cpu"), describe, with_random_weights):
        with pytest.raises(AttentropyError, match=r"m\.gguf"):
            use(file)


@needs_gguf
@pytest.mark.parametrize(
    "changes",
    [{"num_hidden_layers": 2**31}, {"num_hidden_layers": 5000}, {"intermediate_size": 2**30}],
    ids=str,
)
def test_a_header_that_describes_more_than_the_file_has_is_refused(changes, tmp_path, monkeypatch):
    written = ggufs.model

    def lying(*args, **sizes):
        subject = written(*args, **sizes)
        for name, value in changes.items():
            setattr(subject.config, name, value)
        return subject

    monkeypatch.setattr(ggufs, "model", lying)
    ggufs.write(tmp_path / "m.gguf")
    with pytest.raises(AttentropyError) as refusal:
        extract(tmp_path / "m.gguf", "Hello", device="cpu")
    assert "\n" not in str(refusal.value)

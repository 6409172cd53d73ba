"""A translator's file is checked before a tensor is read, and refused for another model."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

import attentropy
from attentropy.engine.errors import UsageError
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.points import Point, capture_states
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.translator.file import read_translator, write_translator
from attentropy.engine.translator.translator import head_sha256
from tiny import model, tokenizer

WIDTH, LAYERS = 48, 3


def facts(**changes):
    """Return the metadata of a file for the tiny model."""
    own = {
        "format": "attentropy-lens", "format_version": "1", "kind": "residual",
        "layers": str(LAYERS), "width": str(WIDTH),
    }  # fmt: skip
    return {name: value for name, value in (own | changes).items() if value is not None}


def tensors(width=WIDTH, layers=LAYERS, dtype=torch.float32):
    """Return small random maps of all layers but the last."""
    torch.manual_seed(width)
    names = [f"{layer}.{part}" for layer in range(layers - 1) for part in ("weight", "bias")]
    return {
        name: 0.1 * torch.randn((width, width) if "w" in name else width).to(dtype)
        for name in names
    }


def without(name):
    """Return the tensors without one."""
    return {key: value for key, value in tensors().items() if key != name}


BAD = [
    (tensors(), None, "its metadata does not say that its format is attentropy-lens"),
    (tensors(), facts(format="other"), "its metadata does not say that"),
    (tensors(), facts(format_version="2"), "its format is not version 1"),
    (tensors(), facts(kind="pickle"), "its kind is not one of translator, residual, jacobian"),
    (tensors(), facts(kind="translator"), "it does not say for which output head"),
    (tensors(), facts(kind="jacobian"), "a jacobian has no bias"),
    (tensors(), facts(layers="x"), "no valid number of layers"),
    (tensors(), facts(layers="-3"), "no valid number of layers"),
    (tensors(), facts(layers="٣"), "no valid number of layers"),
    (tensors(), facts(layers=None), "no valid number of layers"),
    (tensors(), facts(width="999999999"), "no valid number of width"),
    (tensors(), facts(width="47"), r"its tensor \d.\w+ has shape"),
    (tensors(), facts(layers="2"), "it has a map of layer 1, the last of 2 needs none"),
    (tensors(), facts(head_sha256="../x"), "its head_sha256 is not a hash"),
    (tensors() | {"extra": torch.zeros(1)}, facts(), "it has a tensor 'extra'"),
    (tensors() | {"00.bias": torch.zeros(WIDTH)}, facts(), "it has a tensor '00.bias'"),
    (without("1.weight"), facts(), "it has no tensor 1.weight"),
    ({}, facts(), "it has no maps"),
    (tensors(dtype=torch.float64), facts(), "is of type F64"),
    (tensors() | {"0.bias": torch.full([WIDTH], torch.nan)}, facts(), "not finite"),
    (tensors() | {"1.weight": torch.full([WIDTH, WIDTH], torch.inf)}, facts(), "not finite"),
]


@pytest.mark.parametrize(("content", "metadata", "message"), BAD)
def test_a_file_that_is_no_translator_is_refused_in_one_line(content, metadata, message, tmp_path):
    path = tmp_path / "x.lens.safetensors"
    save_file(content, path, metadata)
    with pytest.raises(UsageError, match=message) as error:
        read_translator(path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def _header(entries, size=0):
    text = json.dumps({"__metadata__": facts(), **entries}).encode()
    return struct.pack("<Q", len(text)) + text + bytes(size)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a complete safetensors file"),
        (b"PK\x03\x04" + bytes(60), "its header is too large"),
        (struct.pack("<Q", 2**60) + b"{}", "its header is too large"),
        (struct.pack("<Q", 10**6) + b"{}", "not a complete safetensors file"),
        # Tensors that the file does not hold, however large they say they are.
        (_header({"0.weight": {"dtype": "F32", "shape": [WIDTH, WIDTH],
                               "data_offsets": [0, 4 * WIDTH**2]}}), "not a complete"),
        (_header({"0.weight": {"dtype": "F32", "shape": [2**31, 2**31],
                               "data_offsets": [0, 2**64 - 4]}}), "not a complete"),
    ],
)  # fmt: skip
def test_a_damaged_or_hostile_file_is_refused_without_an_allocation(data, message, tmp_path):
    path = tmp_path / "x.lens.safetensors"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=message):
        read_translator(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"there is no file 'x.lens.safetensors'"):
        read_translator(tmp_path / "x.lens.safetensors")
    with pytest.raises(UsageError, match="there is no file"):
        read_translator(tmp_path)
    with pytest.raises(UsageError, match="`lens_translator` must be a file"):
        read_translator(7)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return a function that writes a translator of a tiny model, and returns its path."""
    folder = tmp_path_factory.mktemp("other")

    def write(name="a", kind="translator", subject=None, **sizes):
        sizes = {"layers": LAYERS, "width": WIDTH} | sizes
        own = tensors(**sizes)
        maps = {
            layer: (own[f"{layer}.weight"], own[f"{layer}.bias"])
            for layer in range(sizes["layers"] - 1)
        }
        lens = find_lens(subject or model(), torch.arange(8)[None])
        path = folder / f"{name}.lens.safetensors"
        write_translator(path, maps, kind=kind, layers=sizes["layers"], force=True,
                         facts={"head_sha256": head_sha256(lens)})  # fmt: skip
        return path

    return write


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": 5}, "is for a model of 5 layers, but this one has 3"),
        ({"width": 40}, "is for residuals of width 40, but this model's have 48"),
        ({"subject": model(seed=1)}, "is for another output head than this model's"),
    ],
)
def test_a_translator_of_another_model_is_refused_in_one_line(other, sizes, message):
    path = other(**sizes)
    with pytest.raises(UsageError, match=message):
        attentropy.extract(model(), "Hello", tokenizer=tokenizer(), lens_translator=path)
    with (
        pytest.raises(UsageError, match=message),
        attentropy.record(model(), lens="residual", lens_translator=path),
    ):
        pass


def test_a_translator_needs_the_lens_of_the_residuals(other):
    for lens in ("none", "mlp"):
        with pytest.raises(UsageError, match='a lens that reads the residuals: `lens="residual"`'):
            attentropy.extract(lens=lens, lens_translator=other())
    with (
        pytest.raises(UsageError, match="a lens that reads the residuals"),
        attentropy.record(model(), lens_translator=other()),
    ):
        pass


def test_a_head_has_one_hash_in_float32_bfloat16_and_float16():
    subject = model().bfloat16()
    hashes = set()
    for dtype in (torch.bfloat16, torch.float32, torch.float16):
        lens = find_lens(subject.float(), torch.arange(8)[None])
        hashes.add(head_sha256(type(lens)(lens.norm, lens.weight.to(dtype), None, 1.0, None)))
    assert len(hashes) == 1


@pytest.mark.parametrize("kind", ["residual", "jacobian"])
def test_maps_before_the_norm_are_read_through_norm_and_head(kind, tmp_path):
    """A tuned lens reads h + A h + b through the model's own norm and head."""
    subject = model()
    path = tmp_path / "x.lens.safetensors"
    own = tensors() if kind == "residual" else {k: v for k, v in tensors().items() if "w" in k}
    save_file(own, path, facts(kind=kind))
    trace = attentropy.extract(
        subject, "Hello there", tokenizer=tokenizer(), lens_translator=path, max_new_tokens=0
    )
    points = {"residual": [Point(one) for one in decoder_layers(subject)]}
    with torch.no_grad(), capture_states(points) as states:
        subject(torch.tensor([trace["token_ids"].tolist()]), use_cache=False)
        for layer in range(LAYERS - 1):
            h = states["residual"][layer]
            moved = h @ own[f"{layer}.weight"].T
            if kind == "residual":
                moved = h + moved + own[f"{layer}.bias"]
            p = subject.lm_head(subject.model.norm(moved)).double().softmax(-1)
            entropy = torch.from_numpy(trace.lens("lens_entropy", site="translated")[layer])
            wanted = -(p * p.clamp_min(1e-300).log()).sum(-1)
            torch.testing.assert_close(entropy.double(), wanted, rtol=0, atol=2e-4)


def test_a_note_says_what_a_translator_does_not(other, tmp_path):
    subject = model()
    path = tmp_path / "x.lens.safetensors"
    save_file(tensors(), path, facts())
    (note,) = read_translator(path).notes(subject)
    assert note.startswith("the translator 'x.lens.safetensors' does not say for which output head")
    options = {"tokenizer": tokenizer(), "max_new_tokens": 0}
    trace = attentropy.extract(subject, "Hello", lens_translator=path, **options)
    assert note in trace.attrs["notes"]
    with attentropy.record(subject, lens="residual", lens_translator=path) as recorder:
        subject(torch.arange(5)[None])
    assert note in recorder.trace.attrs["notes"]
    own = read_translator(other())
    assert own.notes(subject) == []
    fit = {**own.facts, "dtype": "float32", "model_sha256": "0" * 64}
    (note,) = replace(own, facts=fit).notes(subject)
    assert note.endswith("was fitted to other weights with the same head")
    assert replace(own, facts=fit).notes(subject.bfloat16()) == []


def test_layers_without_a_map_have_no_values(tmp_path):
    path = tmp_path / "x.lens.safetensors"
    save_file({k: v for k, v in tensors().items() if k.startswith("1.")}, path, facts())
    trace = attentropy.extract(
        model(), "Hello", tokenizer=tokenizer(), lens_translator=path, max_new_tokens=0
    )
    values = torch.from_numpy(trace.lens("lens_entropy", site="translated"))
    assert values.isnan().all(1).tolist() == [True, False, False]


def test_writing_refuses_what_a_reader_would(tmp_path):
    maps = {0: (torch.full((4, 4), torch.nan), None)}
    with pytest.raises(UsageError, match="not finite"):
        write_translator(tmp_path / "x.lens.safetensors", maps, kind="residual", layers=2)
    assert list(tmp_path.iterdir()) == []

"""The time of a pass is divided into parts, each of which has what it does and nothing else."""

import threading

import pytest
import torch
from torch import nn

from attentropy.engine.attention.recorder import Recorder
from attentropy.engine.profile.parts import find_parts
from attentropy.engine.profile.profile import profile
from attentropy.engine.trace.sinks import FolderSink
from attentropy.kernels.ops import attention
from profiles import FAMILIES, assert_adds_up, counted, profile_tiny, seconds
from tiny import model

pytestmark = pytest.mark.costly


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[] if kind in ("llama", "gpt2", "mixtral") else pytest.mark.slow)
        for kind in FAMILIES
    ],
)
def test_every_operation_of_a_pass_belongs_to_a_part(kind):
    trace = counted(kind)
    assert_adds_up(trace)
    assert abs(trace.attrs["profile"]["parts_off_by"]) < 1e-5
    assert trace.attrs["profile"]["parts_seconds"]["kernel"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_the_parts_add_up_to_the_measured_whole_within_5_percent(kind):
    """The machine's own clock is used; one of three tries must pass, as other work disturbs it."""
    for _ in range(3):
        trace = profile_tiny(kind, tokens=200, chunk=70)
        if abs(trace.attrs["profile"]["parts_off_by"]) < 0.05:
            break
    assert_adds_up(trace)


_DELAY = 0.08  # seconds


def _slower(function, clock, delay=_DELAY):
    """Return `function` delayed by `delay` seconds."""

    def delayed(*args, **how):
        clock.advance(delay)
        return function(*args, **how)

    return delayed


# Where each part does its work. Every part is delayed by a time of its own, so that the growth of
# each part tells whose delay it was.
_PLACES = {
    "attention": lambda m: (m.model.layers[1].self_attn.o_proj, "forward"),
    "mlp": lambda m: (m.model.layers[1].mlp.down_proj, "forward"),
    "other": lambda m: (m.model.layers[1].post_attention_layernorm, "forward"),
    "embedding": lambda m: (m.model.embed_tokens, "forward"),
    "norm": lambda m: (m.model.norm, "forward"),
    "head": lambda m: (m.lm_head, "forward"),
    "rest": lambda m: (m.model.rotary_emb, "forward"),
}


_CHUNKS, _LAYERS = 3, 3  # of a tiny profile


@pytest.mark.parametrize(
    ("kind", "parts"),
    [("llama", tuple(_PLACES)), pytest.param("olmo2", ("mlp",), marks=pytest.mark.slow)],
)
def test_what_slows_a_part_down_is_found_in_it_and_nowhere_else(kind, parts, clock):
    quick = counted(kind).attrs["profile"]["parts_seconds"]
    subject = model(kind)
    delays = {part: _DELAY * 2**i for i, part in enumerate(parts)}
    for part, delay in delays.items():
        owner, name = _PLACES[part](subject)
        setattr(owner, name, _slower(getattr(owner, name), clock, delay))
    trace = profile(subject, tokens=83, chunk=29, repeat=1)
    slow = trace.attrs["profile"]["parts_seconds"]
    growth = {name: slow[name] - quick[name] for name in slow}
    for part, delay in delays.items():
        assert growth.pop(part) == pytest.approx(_CHUNKS * delay)  # once per chunk
    assert all(abs(rest) < 1e-9 for rest in growth.values()), growth
    for part in {"attention", "mlp", "other"} & set(parts):
        difference = seconds(trace, 1, part) - seconds(trace, 0, part)
        assert difference == pytest.approx(_CHUNKS * delays[part])


def test_the_attention_call_is_the_kernel_and_the_recorder_is_writing(monkeypatch, clock):
    quick = counted().attrs["profile"]["parts_seconds"]
    recording, calling = _DELAY, 4 * _DELAY
    recorder = _slower(Recorder.on_attention, clock, recording)
    monkeypatch.setattr(Recorder, "on_attention", recorder)
    kernel = _slower(attention, clock, calling)
    monkeypatch.setattr("attentropy.engine.profile.measurement.attention", kernel)
    slow = profile_tiny().attrs["profile"]["parts_seconds"]
    growth = {name: slow[name] - quick[name] for name in slow}
    assert growth.pop("writing") == pytest.approx(_CHUNKS * _LAYERS * recording)
    assert growth.pop("kernel") == pytest.approx(_CHUNKS * _LAYERS * calling)
    assert all(abs(rest) < 1e-9 for rest in growth.values()), growth


def test_writing_lasts_until_the_last_value_is_on_the_disk(monkeypatch, clock):
    """The writing thread starts only when the pass waits for it."""
    awaited = threading.Event()
    check, flush, close = FolderSink._check_folder, FolderSink.flush, FolderSink.close

    def checks(self):  # before each write
        assert awaited.wait(60)
        clock.advance(_DELAY)
        check(self)

    def waits(wait):
        def waiting(self):
            awaited.set()
            wait(self)
            awaited.clear()

        return waiting

    monkeypatch.setattr(FolderSink, "_check_folder", checks)
    monkeypatch.setattr(FolderSink, "flush", waits(flush))
    monkeypatch.setattr(FolderSink, "close", waits(close))
    trace = profile_tiny()
    totals = trace.attrs["profile"]
    writes = 3 * (3 * 2) + 3 * 2  # entropy and visible per chunk and layer, and the window's two
    assert totals["parts_seconds"]["writing"] >= writes * _DELAY
    assert abs(totals["parts_off_by"]) < 1e-5
    after = trace["profile_outside"][:, [str(p) for p in trace["outside"]].index("writing")]
    assert after[2] >= writes * _DELAY  # the pass waits for the disk after the last chunk
    assert (after[:2] < _DELAY).all()  # and not before


def test_the_lens_has_its_own_part_in_the_layers_that_it_reads(clock):
    trace = profile_tiny(lens=("residual", "mlp"))
    assert all(seconds(trace, layer, "lens") > 0 for layer in range(3))
    assert trace.attrs["profile"]["sites"] == ["residual", "mlp"]
    assert abs(trace.attrs["profile"]["parts_off_by"]) < 0.05


@pytest.mark.parametrize("kind", ["gemma2", "olmo2"])
def test_a_norm_behind_a_block_is_not_the_block(kind):
    subject = model(kind, **FAMILIES[kind])
    parts = find_parts(subject, torch.arange(16)[None])
    layer = subject.model.layers[0]
    assert parts.attention[0] is layer.self_attn
    assert parts.mlp[0] is layer.mlp
    matrices = [*layer.self_attn.parameters(), *layer.mlp.parameters()]
    wanted = 2 * sum(p.numel() for p in matrices if p.ndim == 2)
    assert parts.multiplications()[0] == wanted


def test_a_layer_that_is_not_explained_has_its_attention_calls_module_and_no_mlp():
    class Doubling(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **how):
            output = self.inner(*args, **how)
            return (output[0] * 2, *output[1:]) if isinstance(output, tuple) else output * 2

    subject = model()
    subject.model.layers[1] = Doubling(subject.model.layers[1])
    parts = find_parts(subject, torch.arange(16)[None])
    assert parts.without_mlp == [1]
    assert parts.attention[1] is subject.model.layers[1].inner.self_attn
    trace = profile(subject, tokens=30, chunk=30, repeat=1)
    assert any("the MLP of layer 1 is" in note for note in trace.attrs["notes"])

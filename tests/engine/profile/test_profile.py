"""In a profile, the parts' times add up to the total, and compared kernels are correct."""

import errno
import json
import tempfile

import numpy as np
import pytest
import torch
import zarr

from attentropy.engine.attention.recorded import RecordedSequence
from attentropy.engine.attention.recorder import Recorder
from attentropy.engine.cost.predict import describe
from attentropy.engine.errors import AttentropyError, RunStopped, UsageError
from attentropy.engine.model import load as models
from attentropy.engine.profile import torch_attention as fused
from attentropy.engine.profile.parts import find_parts
from attentropy.engine.profile.profile import profile
from attentropy.engine.profile.prompt import ordinary_ids
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sinks import FolderSink
from attentropy.kernels.ops import attention
from profiles import FAMILIES, counted, profile_tiny
from tiny import config, model, save

pytestmark = pytest.mark.costly


@pytest.mark.parametrize("sites", [(), ("residual",)])
def test_what_is_recorded_is_what_extract_records(tmp_path, sites):
    folder = save(tmp_path / "tiny")
    stats, prompt = ("max_prob", "top_key", "lse"), "What is the capital of Australia?"
    trace = profile(folder, prompt, chunk=29, repeat=1, stats=stats, lens=sites)
    wanted = extract(
        folder, prompt, chunk=29, stats=stats, lens=sites, map_tile="none", scores=False,
        max_new_tokens=0, reference=False,
    )  # fmt: skip
    own = {str(name) for name in trace.dataset.variables if str(name).startswith("profile_")}
    own |= {"chunk_start", "chunk_stop", "part", "outside"}
    answer = {str(name) for name in wanted.dataset.variables if str(name).startswith("generated_")}
    if not sites:
        answer |= {"vocabulary_ids", "vocabulary_text"} & set(wanted.dataset.variables)
    names = set(trace.dataset.variables) - own
    assert names == set(wanted.dataset.variables) - answer
    assert names >= {"entropy", *stats, "window"}
    for name in names:
        np.testing.assert_array_equal(trace[name], wanted[name], str(name))


def test_every_pass_hands_its_values_on_as_they_are_made(monkeypatch):
    entries, recorders = [], []
    listen, flush = Recorder.on_attention, FolderSink.flush

    def listens(self, *call):
        listen(self, *call)
        recorders.append(self)

    def ends(self):
        flush(self)
        stored = zarr.open_group(self._folder, mode="r")
        entries.append({name: stored[name][:] for name in ("entropy", "visible")})

    monkeypatch.setattr(Recorder, "on_attention", listens)
    monkeypatch.setattr(FolderSink, "flush", ends)
    trace = profile(model(), tokens=83, chunk=29, repeat=2)
    assert (
        len(entries) == 1 + 1 + 2 + 1
    )  # the warm-up, the pass that measures memory (and its end), two timed
    for values in entries[1:]:
        np.testing.assert_array_equal(values["entropy"], trace["entropy"])
        np.testing.assert_array_equal(values["visible"], trace["visible"])
    recording = [r for r in recorders if any(call.rows == 83 for call in r.calls.values())]
    assert recording
    streams = [stream for r in recording for batch in r.batches for stream in batch.streams]
    assert not any(isinstance(stream, RecordedSequence) for stream in streams)


def test_the_temporary_folder_goes_and_the_values_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trace = profile_tiny()
    assert not list(tmp_path.iterdir())
    assert np.isfinite(trace["entropy"]).all()


def test_a_callers_folder_holds_one_trace_which_is_read_when_it_is_used(tmp_path):
    trace = profile_tiny(scratch=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["trace.zarr"]
    assert not trace.dataset["entropy"]._in_memory
    np.testing.assert_array_equal(Trace.open(tmp_path / "trace.zarr")["entropy"], trace["entropy"])


def test_a_full_disk_ends_a_profile_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    def full(self, name, values):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(FolderSink, "_narrow", full)
    with pytest.raises(RunStopped, match="the disk is full"):
        profile_tiny()
    assert not list(tmp_path.iterdir())


def test_of_a_mixture_the_experts_count_that_a_token_meets():
    subject = model("mixtral", **FAMILIES["mixtral"])
    parts = find_parts(subject, torch.arange(16)[None])
    experts = sum(p.numel() for n, p in parts.mlp[0].named_parameters() if "experts." in n)
    assert parts.multiplications(1.0)[0] - parts.multiplications(0.5)[0] == experts


def test_what_is_recorded_is_what_one_pass_records():
    subject = model()
    trace = profile(subject, tokens=83, chunk=29, repeat=1, stats=("entropy", "max_prob"))
    with record(subject, stats=("entropy", "max_prob")) as recorder, torch.no_grad():
        subject(torch.tensor(trace["token_ids"])[None])
    for name in ("entropy", "max_prob"):
        np.testing.assert_allclose(trace[name], recorder.trace[name], atol=1e-5)


def test_the_kernels_work_is_two_products_for_each_pair_of_query_and_key():
    totals = counted().attrs["profile"]
    pairs = 83 * 84 // 2
    assert totals["kernel_flops"] == 3 * 4 * pairs * 2 * (12 + 12)
    windowed = counted("mistral", sliding_window=10)
    visible_pairs = sum(min(i + 1, 10) for i in range(83))
    assert windowed.attrs["profile"]["kernel_flops"] == 3 * 4 * visible_pairs * 2 * (12 + 12)


def test_a_model_is_left_as_it_was():
    subject = model()
    before = subject.config._attn_implementation
    ids = torch.arange(40)[None]
    wanted = subject(ids).logits
    profile(subject, tokens=40, chunk=20, repeat=1)
    assert subject.config._attn_implementation == before
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    assert not any(getattr(m, name) for m in subject.modules() for name in hooks)
    assert torch.equal(subject(ids).logits, wanted)


@pytest.mark.parametrize(("queries", "keys"), [(37, 37), (37, 101), (1, 64)])
def test_the_fused_rival_gives_ours_outputs_for_a_chunk_over_its_past(queries, keys):
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 6, queries, 20), *torch.randn(2, 1, 2, keys, 20)
    ours = attention(q, k, v, stats=(), scale=0.3)
    theirs = fused.fused_attention("flash", keys)(q, k, v, scale=0.3, causal=True, stats=())
    torch.testing.assert_close(theirs.out, ours.out, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs.lse, ours.lse, atol=1e-5, rtol=1e-5)


def test_a_model_that_the_fused_kernels_do_not_take_says_why_and_is_measured_all_the_same():
    totals = counted("mistral", sliding_window=10).attrs["profile"]
    assert "a sliding window" in totals["not_fused"]
    assert set(totals["variants"]) == {"recording", "off"} == {"recording", *totals["ratios"]}
    wide = profile_tiny("mistral", extra={"sliding_window": 100}).attrs["profile"]
    assert wide["not_fused"] is None
    assert wide["fused_backend"] == "flash"
    assert "a softcap" in counted("gemma2").attrs["profile"]["not_fused"]


def test_a_rival_that_is_wrong_here_is_not_timed(monkeypatch):
    wrong = fused.FusedKernel(lambda q, k, v, causal, scale: (q * 0, q[..., 0]), devices=("cpu",))
    monkeypatch.setitem(fused.FUSED_KERNELS, "flash", wrong)
    assert "off by" in profile_tiny().attrs["profile"]["not_fused"]


def test_each_variant_is_timed_in_every_round_and_the_spread_is_told():
    totals = profile(model(), tokens=40, chunk=20, repeat=3).attrs["profile"]
    assert totals["repeat"] == 3
    assert set(totals["variants"]) == {"recording", "off", "fused"}
    for variant in totals["variants"].values():
        low, middle, high = variant["seconds"]
        assert 0 < low <= middle <= high
        assert variant["tokens_per_second"] == pytest.approx(40 / middle)
    low, middle, high = totals["variants"]["recording"]["seconds"]
    assert totals["whole_seconds"] == middle
    for ratio in totals["ratios"].values():
        assert ratio["whole"] == sorted(ratio["whole"])


def test_the_profile_lands_in_the_trace_and_is_read_back(tmp_path):
    trace = counted()
    opened = Trace.open(trace.save(tmp_path / "p.zarr.zip"))
    for name in ("profile_seconds", "profile_bytes", "profile_outside", "entropy"):
        np.testing.assert_array_equal(opened[name], trace[name])
    assert opened.attrs["profile"] == json.loads(json.dumps(trace.attrs["profile"]))
    assert opened["chunk_start"].tolist() == [0, 29, 58]
    assert opened["chunk_stop"].tolist() == [29, 58, 83]
    assert opened.dataset["profile_seconds"].shape == (3, 3, 6)


def test_random_ids_are_ordinary_spread_and_the_same_for_a_seed():
    settings = config()
    ids = ordinary_ids(settings, {7}, 5000)
    assert not {7, 256, 257} & set(ids)
    assert len(set(ids)) > 250
    assert ids == ordinary_ids(settings, {7}, 5000) != ordinary_ids(settings, {7}, 5000, seed=1)


def test_random_weights_need_a_configuration_alone_and_are_the_same_each_time(tmp_path):
    config("llama").save_pretrained(tmp_path)
    state = torch.get_rng_state()
    first, again = (models.with_random_weights(tmp_path) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for one, other in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)
    drawn = first.model.model.layers[0].mlp.up_proj.weight.detach()
    assert float(drawn.std()) == pytest.approx(0.02, rel=0.1)
    assert first.tokenizer is None
    assert not first.model.training
    half = models.with_random_weights(tmp_path, dtype="bfloat16").model
    assert half.dtype == torch.bfloat16
    assert torch.equal(
        half.model.rotary_emb.inv_freq, first.model.model.rotary_emb.inv_freq
    )  # positions are not weights
    with pytest.raises(UsageError, match="no tokenizer; give token ids with `prompt`"):
        profile(tmp_path, "words", random_weights=True)
    trace = profile(tmp_path, tokens=40, random_weights=True, repeat=1)
    assert trace.attrs["profile"]["random_weights"] is True


def test_an_endless_configuration_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("attentropy.engine.model.checkpoint._SECONDS", 1)
    config(num_hidden_layers=2**31).save_pretrained(tmp_path)
    for use in (models.with_random_weights, describe):
        with pytest.raises(AttentropyError, match="it took more than"):
            use(tmp_path)


def test_random_weights_that_do_not_fit_are_refused_in_one_line(tmp_path, monkeypatch):
    config("llama").save_pretrained(tmp_path)
    monkeypatch.setattr(models, "free_bytes", lambda device: 1000)
    with pytest.raises(AttentropyError, match=r"with random weights takes .* are free on cpu"):
        models.with_random_weights(tmp_path)


def test_a_prompt_of_words_is_profiled_with_its_tokens(tmp_path):
    folder = save(tmp_path / "tiny")
    trace = profile(folder, "Hello there", repeat=1)
    assert "H" in trace.tokens
    assert "template" in trace.roles


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 5, "prompt": [1, 2]}, "makes a random prompt"),
        ({}, "no prompt; give one with `prompt`, or random ids with `tokens`"),
        ({"tokens": 300}, "supports only 256"),
        ({"tokens": 5, "repeat": 0}, "`repeat` must be an integer of at least 1"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        profile(model(), **options)


@pytest.mark.gpu
@pytest.mark.parametrize("chunk", [1000, 2048])
def test_on_a_gpu_the_parts_add_up_and_a_fused_kernel_is_right(tmp_path, chunk):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device: a GPU's clock and its fused kernels were not run")
    config("llama", hidden_size=512, max_position_embeddings=8192).save_pretrained(tmp_path)
    trace = profile(
        tmp_path, tokens=5000, chunk=chunk, random_weights=True, dtype="bfloat16", device="cuda"
    )
    totals = trace.attrs["profile"]
    assert totals["clock"] == "CUDA events"
    assert abs(totals["parts_off_by"]) < 0.05
    assert totals["fused_backend"] in ("flash", "cudnn")
    assert np.nanmax(trace["profile_bytes"]) > 0

"""A prompt read in chunks gives the values of one pass, wherever the trace is stored."""

import numpy as np
import pytest
import torch

from attentropy.engine.errors import UsageError
from attentropy.engine.model.cache import cache_in, cache_of
from attentropy.engine.record.record import record
from attentropy.engine.run import prefill
from attentropy.engine.run.extract import extract
from attentropy.engine.run.probe import RunProbe
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.schema import FORMAT_VERSION
from attentropy.engine.trace.statistics import WITHOUT_SINKS
from tiny import model, save, tokenizer

pytestmark = pytest.mark.costly

PROMPT = "Paris is a city, and Canberra is another one. " * 39
FAMILIES = [
    ("llama", {}),
    ("gemma3_text", {"sliding_window": 24, "head_dim": 16, "query_pre_attn_scalar": 16}),
    ("gpt_oss", {"sliding_window": 24, "head_dim": 16, "num_local_experts": 4}),
]
# Rounding errors of float32. Those of a distance, and of what a key receives from all queries, grow
# with the length. The scores of the embedded model are large: each of two entropies in one pass or
# in chunks is up to 1.2e-5 nats from that of float64.
# Two runs differ by up to twice what one may be off, see docs/definitions.md.
TOLERANCES = {"distance": 2e-3, "lse": 1e-4, "lens_top_logprobs": 1e-4, "rehearsal": 1e-4,
              "lens_target_logprob": 1e-4, "lens_kl": 1e-4, "entropy": 2e-5,
              "received": 2e-5, "window": 2e-5, "max_prob": 2e-5}  # fmt: skip


def _assert_close(trace, wanted):
    assert set(trace.dataset.variables) == set(wanted.dataset.variables)
    is_passing = _rows_of_passing_sinks(trace, wanted)
    for name, values in wanted.dataset.variables.items():
        name, wanted_values = str(name), wanted[str(name)]
        own = trace[name]
        if name in WITHOUT_SINKS:
            own = np.where(is_passing, wanted_values, own)
        if values.dtype.kind == "f":
            np.testing.assert_allclose(
                own, wanted_values, atol=TOLERANCES.get(name, 1e-5), rtol=0, err_msg=name
            )
        elif name == "lens_rank":  # a tie in the last bit changes the rank
            assert np.abs(trace[name] - wanted_values).max() <= 1
        else:
            np.testing.assert_array_equal(own, wanted_values, err_msg=name)


def _rows_of_passing_sinks(trace, wanted):
    """Return the rows, [layer, head, query], for which a key was a sink that is none at the end.

    A chunk hides the keys that are sinks by its own end, so that one of few queries can hide a key
    that is no sink of the whole prompt. Here only the first chunk does, in layers without any sink.
    """
    is_passing = np.isfinite(trace["entropy_without_sinks"])
    is_passing &= np.isnan(wanted["entropy_without_sinks"])
    layers, _, queries = np.nonzero(is_passing)
    assert queries.max(initial=0) < max(8, trace.attrs["options"]["chunk"])
    assert not (wanted["sink_keys"][layers] > 0).any()
    return is_passing


@pytest.fixture(scope="module")
def whole(embedded):
    trace = extract(
        embedded.model, PROMPT, tokenizer=embedded.tokenizer, max_new_tokens=4, map_tile="1x16"
    )
    assert trace.attrs["options"]["chunk"] == trace.prompt_tokens > 512
    return trace


@pytest.mark.parametrize(
    "chunk", [13, 100, 333]
)  # below a tile of 16, above it, about half the prompt
def test_chunks_that_divide_nothing_give_what_one_pass_gives(embedded, whole, chunk):
    trace = extract(
        embedded.model, PROMPT, tokenizer=embedded.tokenizer, max_new_tokens=4, chunk=chunk,
        map_tile="1x16",
    )  # fmt: skip
    assert trace.attrs["options"]["chunk"] == chunk
    _assert_close(trace, whole)


def test_chunks_begin_at_whole_tiles_of_the_map(embedded):
    rest = {"tokenizer": embedded.tokenizer, "max_new_tokens": 0, "lens": (), "map_tile": "16"}
    one = extract(embedded.model, PROMPT, **rest)
    trace = extract(embedded.model, PROMPT, chunk=100, **rest)
    assert trace.attrs["options"]["chunk"] == 96
    _assert_close(trace, one)
    np.testing.assert_allclose(trace["map"].sum(-1), 1, atol=1e-5)


@pytest.mark.parametrize("length", [331])
@pytest.mark.parametrize(("kind", "extra"), FAMILIES, ids=[kind for kind, _ in FAMILIES])
def test_chunks_of_any_family_give_what_one_pass_gives(kind, extra, length):
    subject = model(kind, max_position_embeddings=1024, **extra)
    ids = torch.randint(0, 250, (length,), generator=torch.Generator().manual_seed(0)).tolist()
    rest = {"tokenizer": tokenizer(), "max_new_tokens": 2, "lens": ("residual", "mlp")}
    one = extract(subject, ids, chunk=length, **rest)
    for chunk in (29, 101):
        trace = extract(subject, ids, chunk=chunk, **rest)
        names = set(one.dataset.data_vars)
        assert {"entropy", "window", "lens_entropy"} <= names
        assert ("sink_prob" in names) == (kind == "gpt_oss")
        for name in ("entropy", "max_prob", "sink_mass", "window"):
            np.testing.assert_allclose(trace[name], one[name], atol=2e-4, err_msg=name)
        for name in ("visible", "top_key"):
            np.testing.assert_array_equal(trace[name], one[name], err_msg=name)
        np.testing.assert_allclose(trace["lens_entropy"], one["lens_entropy"], atol=2e-4)


def test_what_is_written_as_it_is_made_is_what_memory_holds(tmp_path):
    subject = model(max_position_embeddings=1024, num_hidden_layers=2)
    rest = {"tokenizer": tokenizer(), "max_new_tokens": 2, "chunk": 150}
    in_memory = extract(subject, PROMPT[:331], **rest)
    for name in ("t.zarr", "t.zarr.zip"):
        trace = extract(subject, PROMPT[:331], output=tmp_path / name, **rest)
        form = {"format": "attentropy.trace", "format_version": FORMAT_VERSION}
        assert trace.attrs == in_memory.attrs | form
        for variable in in_memory.dataset.variables:
            np.testing.assert_array_equal(trace[variable], in_memory[variable], err_msg=variable)
        assert trace.dataset["entropy"].encoding["chunks"] == (1, 4, 150)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.zarr", "t.zarr.zip"]


def test_recording_alone_sees_each_chunk_as_the_model_does(embedded, whole):
    """A plain loop over the chunks records the same entropies."""
    ids = torch.tensor(whole["token_ids"][None]).long()
    cache = None
    with torch.no_grad(), record(embedded.model, length=ids.shape[1]) as recorder:
        for start, stop in prefill.chunk_bounds(ids.shape[1], 100):
            cache = cache_of(prefill.read_chunk(embedded.model, ids, start, stop, cache))
    np.testing.assert_allclose(recorder.trace["entropy"], whole["entropy"], atol=1e-5)


def test_a_model_that_does_not_go_on_from_its_cache_is_read_in_one_pass(embedded, monkeypatch):
    monkeypatch.setattr(prefill, "why_whole", lambda probe: "its cache forgets")
    trace = extract(
        embedded.model, PROMPT, tokenizer=embedded.tokenizer, max_new_tokens=0, chunk=100
    )
    assert trace.attrs["options"]["chunk"] == len(trace.tokens)
    assert trace.attrs["notes"][-1] == "the prompt was read in one pass: its cache forgets"


def _compared(subject, ids):
    return prefill.compare_chunks(RunProbe(subject, ids, in_chunks=True))


def test_a_cache_that_forgets_is_noticed():
    subject = model("llama")
    ids = torch.randint(0, 250, (1, 60))
    assert _compared(subject, ids) is None

    def forget(module, args, kwargs):
        if (cache := cache_in(kwargs)) is not None and cache.get_seq_length():
            for layer in cache.layers:
                layer.values = torch.zeros_like(layer.values)

    handle = subject.register_forward_pre_hook(forget, with_kwargs=True)
    assert "in chunks" in _compared(subject, ids)
    handle.remove()


def test_layers_that_are_left_out_are_missing_with_their_reason_and_the_others_unchanged(whole):
    trace = extract(prompt=PROMPT, device="cpu", max_new_tokens=4, layers="1,-2:")
    is_recorded = np.isin(np.arange(8), [1, 6, 7])
    assert list(trace["attention_note"]) == [
        "" if k else "not recorded (`layers`)" for k in is_recorded
    ]
    assert (trace["heads"] == 4).all()
    for name in ("entropy", "max_prob", "lse", "window"):
        # The other layers run another kernel, without statistics: the last bits differ.
        limit, n = TOLERANCES.get(name, 1e-5), whole.prompt_tokens
        values, wanted = trace[name][is_recorded], whole[name][is_recorded]
        np.testing.assert_allclose(values[..., :n], wanted[..., :n], atol=limit, err_msg=name)
        # Either run is within the limit of the exact rows of the answer.
        limit = max(limit, 2e-5)
        np.testing.assert_allclose(values[..., n:], wanted[..., n:], atol=limit, err_msg=name)
        assert np.isnan(trace[name][~is_recorded]).all()
    assert (trace["top_key"][~is_recorded] == -1).all()
    np.testing.assert_allclose(trace["lens_entropy"], whole["lens_entropy"], atol=1e-5)


def test_chosen_heads_are_kept_and_their_mean_is_that_of_the_finite_values(whole):
    some = extract(prompt=PROMPT, device="cpu", max_new_tokens=0, heads="0,-1", lens=())
    np.testing.assert_array_equal(some["head"], [0, 3])
    prompt = whole["entropy"][..., : whole.prompt_tokens]
    np.testing.assert_array_equal(some["entropy"], prompt[:, [0, 3]])
    mean = extract(prompt=PROMPT, device="cpu", max_new_tokens=0, heads="mean", lens=())
    np.testing.assert_array_equal(mean["head"], [-1])
    np.testing.assert_allclose(mean["entropy"][:, 0], prompt.mean(1), atol=1e-6)
    assert (mean["heads"] == 4).all()
    assert "top_key" not in mean
    assert any("top_key cannot be averaged" in note for note in mean.attrs["notes"])


def test_statistics_are_those_that_were_asked_for(embedded):
    trace = extract(prompt="Paris", device="cpu", stats=("varentropy",), max_new_tokens=0)
    recorded = {n for n, v in trace.dataset.data_vars.items() if v.dims[-1] == "query"}
    assert recorded == {"entropy", "varentropy", "visible"}
    assert trace.attrs["options"]["stats"] == ["entropy", "varentropy"]


def test_float16_says_how_far_off_it_is(whole, tmp_path):
    trace = extract(
        prompt=PROMPT, device="cpu", max_new_tokens=4, storage="float16",
        output=tmp_path / "t.zarr", chunk=whole.prompt_tokens, map_tile="1x16",
    )  # fmt: skip
    errors = trace.attrs["storage_error"]
    for name, values in whole.dataset.data_vars.items():
        stored = trace.dataset[name]
        if name in ("distance", "lse", "generated_logprob"):
            assert stored.dtype == np.float32
        if stored.dtype == np.float16 and np.isfinite(values).any():
            off = np.abs(stored.values.astype(np.float64) - values.values)
            assert errors[name] == pytest.approx(float(np.nanmax(off)), abs=1e-12)
            assert trace[name].dtype == np.float32  # widened when it is read
        else:
            assert name not in errors
    assert {"entropy", "max_prob", "sink_mass", "window", "lens_entropy", "lens_kl"} <= set(errors)
    assert 0 < errors["entropy"] < 4e-3


def test_a_bound_on_memory_makes_the_chunks_small(embedded):
    device = torch.device("cpu")

    def chunk_for(memory, free=2**40):
        return prefill.chunk_tokens(embedded.model, device, 4096, memory, free)

    assert chunk_for(None) == 2048
    assert chunk_for(None, free=1) == 256
    sizes = [chunk_for(memory << 20) for memory in (24, 32, 64, 256)]
    assert sizes == sorted(sizes)
    assert 16 <= sizes[0] < sizes[-1]
    for memory, chunk in zip((24, 32, 64, 256), sizes, strict=True):
        assert 2 * prefill.bytes_of_pass(embedded.model, chunk, 4096) <= memory << 20
    with pytest.raises(UsageError, match="`memory` is too small"):
        chunk_for(1 << 20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stats": ("entropi",)}, "`stats` must be .* not 'entropi'"),
        ({"layers": "9"}, "`layers`: 9 is out of range"),
        ({"heads": "4"}, "`heads`: 4 is out of range"),
        ({"heads": "some"}, "`heads` must be .* not 'some'"),
        ({"storage": "int8"}, "storage"),
        ({"chunk": 0}, "chunk"),
        ({"resume": True}, "output"),
        ({"output": "t.npz"}, "zarr"),
        ({"output": "none/t.zarr"}, "no folder"),
        ({"output": "t.zarr", "resume": True}, "nothing to resume"),
    ],
)
def test_arguments_that_cannot_work(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        extract(prompt="Paris", device="cpu", **options)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_sliding_cache_is_not_kept(tmp_path):
    folder = save(tmp_path / "tiny", "mistral", sliding_window=24)
    with pytest.raises(UsageError, match="`keep_cache` does not support the cache"):
        extract(folder, "Hello", device="cpu", output=tmp_path / "t.zarr", keep_cache=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny"]


def test_a_large_trace_that_nobody_keeps_goes_to_the_scratch_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("attentropy.engine.run.extract.SCRATCH_BYTES", 10_000)
    trace = extract(prompt="Paris", device="cpu", max_new_tokens=0, scratch=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.zarr"]
    assert isinstance(trace, Trace)

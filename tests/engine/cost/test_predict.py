"""Each option changes the predictions of `info` for long runs by the right amount."""

from dataclasses import replace

import pytest
import torch

from attentropy.engine import demo
from attentropy.engine.cost import memory, predict
from attentropy.engine.cost import speed as pace
from attentropy.engine.cost.disk import disk_bytes
from attentropy.engine.cost.memory import chunk_tokens, memory_bytes, transient_bytes
from attentropy.engine.cost.predict import CostOptions, describe, run_size
from attentropy.engine.cost.reference import ReferenceSize
from attentropy.engine.cost.size import RecordingSize, RunSize, model_size
from attentropy.engine.errors import UsageError
from attentropy.engine.lens.lens import Lens
from attentropy.engine.model import source as origin
from attentropy.engine.model.config import read_config
from attentropy.engine.run import placebo
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.store import write_group
from tiny import config

CPU, GPU = torch.device("cpu"), torch.device("cuda")
N = 100_000


@pytest.fixture
def size():
    return model_size(config())


def disk(size, **options):
    return disk_bytes(size, run_size(size, N, CostOptions(**options), CPU, torch.float32))


def test_the_peak_of_a_long_prompt_grows_with_it_only_by_cache_and_bookkeeping(size):
    run = RunSize(50_000, 4, 0, chunk=2048)
    once, twice = (memory_bytes(size, replace(run, tokens=n)) for n in (50_000, 100_000))
    for name in ("statistics_bytes", "lens_bytes", "weights_bytes"):
        assert once[name] == twice[name], name
    grown = twice["peak_bytes"] - once["peak_bytes"]
    cache = twice["cache_bytes"] - once["cache_bytes"]
    # A layer's keys are copied as they grow, and each token has its own Python objects.
    pages = 48 * 4 * 264  # the embedding table, which both runs read completely
    assert grown == pytest.approx(cache * 4 / 3 + 50_000 * 350, abs=pages)


def test_a_smaller_chunk_takes_less_and_one_of_all_tokens_is_one_pass(size):
    run = RunSize(20_000, 4, 20_000)
    peaks = [memory_bytes(size, replace(run, chunk=c))["peak_bytes"] for c in (256, 1024, 4096)]
    assert peaks == sorted(peaks)
    assert peaks[-1] < memory_bytes(size, run)["peak_bytes"]
    assert memory_bytes(size, replace(run, chunk=20_000)) == memory_bytes(size, run)


def test_a_gpu_holds_a_chunks_states_and_not_what_is_written(size):
    run = RunSize(100_000, 2, 100_000, on_cpu=False, chunk=8192)
    many = replace(run, recording=RecordingSize(stats=("entropy", "max_prob", "lse", "distance")))
    assert memory_bytes(size, run)["peak_bytes"] == memory_bytes(size, many)["peak_bytes"]
    without = memory_bytes(size, replace(run, positions=0))
    assert memory_bytes(size, run)["peak_bytes"] > without["peak_bytes"]
    wide = replace(size, width=4096)
    at_once = memory_bytes(wide, replace(run, chunk=None))["lens_bytes"]
    assert memory_bytes(wide, run)["lens_bytes"] < 0.2 * at_once


def test_the_chunk_follows_the_memory(size):
    def chunk_for(**how):
        return chunk_tokens(size, 4, **({"on_cpu": False} | how))

    assert chunk_for(free=2**40) == 8192
    assert chunk_for(free=2**40, on_cpu=True) == 2048
    assert chunk_for() == 8192
    assert chunk_for(free=0) == 256
    assert chunk_for(memory=1, free=2**40) == 16
    limit = 8 * transient_bytes(size, 1024, 4)
    assert chunk_for(free=limit) == 1024
    assert chunk_for(free=limit - 1) == 512
    assert chunk_for(free=limit, states=10**6) == 256


def test_the_trace_on_a_disk_shrinks_with_what_is_kept(size):
    whole = disk(size)
    rows = 3 * 4 * N  # layers, heads, queries
    alone = disk(size, stats=("entropy",))["statistics_bytes"]
    assert whole["statistics_bytes"] - alone == pytest.approx(rows * 4 * (4 * 0.88 + 0.4), rel=1e-3)
    visible = alone - rows * 4 * 0.88
    mean = disk(size, stats=("entropy",), heads="mean")["statistics_bytes"]
    assert mean - visible == pytest.approx((alone - visible) / 4, rel=1e-3)
    two = disk(size, stats=("entropy",), heads="0,3")["statistics_bytes"]
    assert two - visible == pytest.approx((alone - visible) / 2, rel=1e-3)
    one = disk(size, stats=("entropy",), layers="-1")["statistics_bytes"]
    assert one - visible == pytest.approx((alone - visible) / 3, rel=1e-3)
    half = disk(size, stats=("entropy",), storage="float16")["statistics_bytes"]
    assert half - visible == pytest.approx((alone - visible) / 2, rel=1e-3)
    wide = disk(size, stats=("lse",), storage="float16")["statistics_bytes"]
    assert wide - half == pytest.approx(rows * 4 * 0.88, rel=1e-3)  # never float16


def test_map_windows_and_lens_are_counted(size):
    assert "map_bytes" not in disk(size, map_tile="none")
    received = 3 * N * 4 * 0.88
    tiles = disk(size, map_tile="500")["map_bytes"] - received
    assert tiles == pytest.approx(3 * 200 * 200 * 4 * 0.5, rel=1e-3)
    per_head = disk(size, map_tile="500", map_heads="all")["map_bytes"] - received
    assert per_head == pytest.approx(4 * tiles, rel=1e-3)
    large_windows = disk(size, windows=("-64:,0:512",))["windows_bytes"]
    default_windows = disk(size)["windows_bytes"]
    assert large_windows - default_windows == pytest.approx(3 * 4 * 64 * 512 * 4 * 0.5, rel=1e-3)
    assert "lens_bytes" not in disk(size, lens=())
    last = disk(size, lens_positions="-10:")["lens_bytes"]
    assert disk(size, lens_positions="-2000:")["lens_bytes"] > 100 * last


def test_thumbnails_are_counted_where_the_run_keeps_them(size):
    def pictures(**options):
        run = run_size(size, 8000, CostOptions(**options), CPU, torch.float32)
        return disk_bytes(size, run).get("thumbnails_bytes")

    assert pictures() == 3 * 4 * 32**2 / 2
    assert pictures(heads="mean") == 3 * 32**2 / 2
    for options in ({"thumbnails": False}, {"map_tile": "none"}, {"stats": ()}):
        assert pictures(**options) is None
    assert pictures(map_tile="none", thumbnails=True) == pictures()
    assert "thumbnails_bytes" not in disk(size)  # of 100,000 tokens
    run = RunSize(8000, 4, 0, recording=RecordingSize(thumbnails=250))
    without = replace(run, recording=RecordingSize())
    rates = pace.Rates(product=1e10, copied=1e9, scores=1e8, lens=1e10, swept=1e8)
    alone = pace.duration(size, run, rates)["sweep_again"]
    assert alone > pace.duration(size, without, rates)["sweep_again"] == 0
    swept = RecordingSize(tile=(64, 64), received=True)
    shared = replace(swept, thumbnails=250)
    both = [
        pace.duration(size, replace(run, recording=one), rates)["sweep_again"]
        for one in (swept, shared)
    ]
    assert both[0] == both[1]  # no sweep of their own
    assert memory_bytes(size, run)["peak_bytes"] > memory_bytes(size, without)["peak_bytes"]


def test_the_sums_by_distance_take_a_sweep_of_their_own(size):
    def context(**options):
        run = run_size(size, 8000, CostOptions(**options), CPU, torch.float32)
        return run, disk_bytes(size, run).get("context_bytes")

    run, nbytes = context(context=True)
    bins = 1 + 14  # the first keys, and distances up to 7,999
    assert nbytes == pytest.approx(4 * 3 * 5 * bins * 0.88, abs=1)
    without, nothing = context()
    assert nothing is None
    assert context(context=True, stats=())[1] is None
    rates = pace.Rates(product=1e10, copied=1e9, scores=1e8, lens=1e10, swept=1e8, by_distance=1e7)
    added = pace.duration(size, run, rates)["sweep_again"]
    added -= pace.duration(size, without, rates)["sweep_again"]
    assert added == pytest.approx(3 * 4 * 8000**2 / 2 / 1e7)


def test_a_trace_takes_what_was_predicted_within_a_quarter(tmp_path):
    text = "The river runs past the old mill, and nobody remembers who built it. " * 12
    trace = extract(None, text)
    write_group(trace.dataset, tmp_path / "t.zarr")
    folder_bytes = sum(p.stat().st_size for p in (tmp_path / "t.zarr").rglob("*") if p.is_file())
    demo_size = model_size(read_config(demo.path(), "demo"))
    options = CostOptions(map_tile="none", scores=False)
    run = run_size(demo_size, len(trace.tokens), options, CPU, torch.float32)
    assert disk_bytes(demo_size, run)["all_bytes"] == pytest.approx(folder_bytes, rel=0.25)


@pytest.mark.parametrize(
    "options",
    [
        {"stats": ("entropie",)}, {"heads": "some"}, {"heads": "9"}, {"layers": "3"},
        {"map_tile": "0"}, {"windows": ("1:2",)}, {"lens": ("head",)}, {"storage": "int8"},
        {"lens_positions": "x"},
    ],
)  # fmt: skip
def test_what_extract_would_refuse_is_refused(size, options):
    with pytest.raises(UsageError):
        run_size(size, 1000, CostOptions(**options), CPU, torch.float32)


def test_a_folder_with_a_configuration_alone_is_described(tmp_path, monkeypatch):
    monkeypatch.setattr(pace, "_BUDGET", 0.0)
    config("llama", max_position_embeddings=8192).save_pretrained(tmp_path)
    monkeypatch.setattr(origin, "resolve_device", lambda device: CPU)
    monkeypatch.setattr(predict, "free_bytes", lambda device: 2**40)
    facts = describe(tmp_path, tokens=5000, chunk=512, lens=(), map_tile="128")
    assert facts["run"] == {
        "chunk": 512, "answer_tokens": 32, "lens_positions": 0, "map_tile": [128, 128],
        "thumbnail_tile": 256,
        "reference_questions": 0, "reference_tokens": 0, "reference_passes": 0,
    }  # fmt: skip
    assert facts["memory"]["lens_bytes"] == 0
    assert facts["seconds"]["read_the_lens"] == 0
    assert facts["disk"]["all_bytes"] > facts["disk"]["statistics_bytes"] > 0
    assert facts["seconds"]["sweep_again"] > 0


def _run_of(options, tokens):
    size = model_size(read_config(demo.path(), "demo"))
    return run_size(size, tokens, CostOptions(**options), CPU, torch.float32)


@pytest.mark.parametrize("chunk", [None, 64])
def test_the_reference_is_predicted_as_the_run_reads_it(monkeypatch, chunk):
    monkeypatch.setattr(memory, "SMALLEST_DEFAULT_CHUNK", 64)  # which the prompt's own chunk tops
    passes = []
    read = placebo._read
    monkeypatch.setattr(placebo, "_read", lambda *a: (passes.append(len(a[-1])), read(*a))[1])
    prompt = "What is the capital of Australia? " * 20
    trace = extract(prompt=prompt, chunk=chunk, max_new_tokens=4)
    predicted = _run_of({"chunk": chunk}, trace.prompt_tokens).reference
    assert predicted.questions == trace.attrs["placebo"]["questions"] == sum(passes)
    assert predicted.tokens == pytest.approx(trace["reference_tokens"].sum(), rel=0.5)
    assert predicted.passes == pytest.approx(len(passes), abs=3 if chunk else 0)


def test_the_lens_computes_the_products_that_are_predicted(monkeypatch):
    rows, read = [], Lens.head_statistics

    def count(self, hidden, *arguments, **options):
        rows.append(len(hidden))
        return read(self, hidden, *arguments, **options)

    monkeypatch.setattr(Lens, "head_statistics", count)
    options = {"max_new_tokens": 2, "reference": False}
    trace = extract(prompt="What is the capital of Australia?", test_sources="none", **options)
    assert len(trace["generated_ids"]) == 2
    size, run = model_size(read_config(demo.path(), "demo")), _run_of(options, trace.prompt_tokens)
    rates = pace.Rates(
        product=1e10, copied=1e9, scores=1e8, lens=2.0 * size.width * size.vocabulary
    )
    seconds = pace.duration(size, run, rates)
    # The answer's own log-probabilities come as one batch, which is part of its generation.
    others = len(trace["generated_ids"])
    assert sum(rows) == pytest.approx(
        seconds["read_the_lens"] + seconds["token_logprobs"], abs=others
    )


def test_a_run_without_lens_or_reference_reads_no_questions():
    for options in ({"reference": False}, {"lens": ()}):
        assert _run_of(options, 100).reference.tokens == 0


def test_the_reference_takes_time_and_the_activations_of_its_pass(size):
    rates = pace.Rates(product=1e10, copied=1e9, scores=1e8, lens=1e10, swept=1e8)
    bare = RunSize(20, 4, 20)
    run = replace(bare, reference=ReferenceSize(6, 6))
    assert pace.duration(size, bare, rates)["read_the_reference"] == 0
    one, several = (
        pace.duration(size, replace(run, reference=ReferenceSize(6, at_once)), rates)
        for at_once in (1, 6)
    )
    assert one["read_the_reference"] > several["read_the_reference"] > 0
    assert memory_bytes(size, run)["activations_bytes"] == transient_bytes(size, 240, 4)


def test_another_sweep_and_more_chunks_take_longer(size):
    rates = pace.Rates(product=1e10, copied=1e9, scores=1e8, lens=1e10, swept=1e8)
    run = RunSize(4000, 4, 0)
    none, both = (
        pace.duration(size, replace(run, recording=recording), rates)
        for recording in (RecordingSize(), RecordingSize(tile=(64, 64), received=True))
    )
    assert none["sweep_again"] == 0
    pairs = 3 * 4 * 4000 * 4000 / 2
    assert both["sweep_again"] == pytest.approx(2 * pairs / 1e8)
    read = [
        pace.duration(size, replace(run, chunk=chunk), rates)["read_the_prompt"]
        for chunk in (None, 1000, 100)
    ]
    assert read == sorted(read)
    assert read[0] < read[1] < read[2]

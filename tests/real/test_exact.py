"""Real models against float64: whole runs, and the project's own part of the error.

A whole run differs from float64 by the project's own rounding and by the model's: its weights are
float32, so its queries and keys are already rounded. How much that is, is measured here: a pass of
the float32 model whose attention and statistics are float64. Other orders of summation (chunks,
another kernel) round as much, but elsewhere; so a run may differ by three times the largest of
these differences, and by the project's own bound: 2e-5 and what float32 scores lose.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, DynamicCache
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.llama import modeling_llama

from attentropy import extract, record
from attentropy.engine.maps.induction import ordinary_ids, repeated_tokens
from real.exact import LOCAL, ExactModel, Rows, lens_statistics, rows_of

pytestmark = pytest.mark.real

TEXT = (Path(__file__).parents[2] / "LICENSE").read_text("utf-8")
QUESTION = "Name two rivers of France, and the sea into which each of them flows."
STATISTICS = (
    "entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass", "lse",
)  # fmt: skip
SCORES = ("sink", "previous", "local", "entropy", "diffuse")
SCORE = 2.0**-20  # share of Σ_d |q_d k_d| that a float32 score may be off
OTHER_SUMS = 3  # times the rounding of the model, see above
LONG = 600  # tokens; more than the 512 of Gemma's windows


def own_bounds(size, n):
    """Return the project's bounds of docs/definitions.md; size: of the rows, n: of keys."""
    entropy = 2e-5 + SCORE * size
    return {
        "entropy": entropy,
        "varentropy": entropy * np.log(n),
        "distance": entropy * n,
        "lse": entropy,
        "max_logit": entropy,
        "max_prob": 1e-5 + SCORE * size,
        "sink_mass": 1e-5 + SCORE * size,
    }


def assert_close(name, values, wanted, bound):
    """Check the missing values first, then the largest error."""
    finite = np.isfinite(wanted)  # no query of an answer sees the first key through a window
    assert (np.isfinite(values) == finite).all(), name
    values, wanted = np.where(finite, values, 0.0), np.where(finite, wanted, 0.0)
    error = np.abs(values.astype(np.float64) - wanted)
    worst = np.unravel_index((error - bound).argmax(), error.shape)
    at = ", ".join(map(str, worst))
    print(f"{name:24} error {error.max():.2g}, largest share {np.max(error / bound):.2f}")
    assert (error <= bound).all(), f"{name}: {error[worst]:.3g} at {at} of {error.shape}"


def of_rows(rows: list[Rows], prompt: int) -> dict[str, np.ndarray]:
    """Return what a trace has of attention, by name, from whole rows; queries up to `prompt`."""
    values = {name: np.stack([one.statistics()[name] for one in rows]) for name in STATISTICS}
    for prefix, queries in (("head_", slice(prompt)), ("head_answer_", slice(prompt, None))):
        if rows[0].weights[:, queries].numel():
            scores = [one.scores(queries) for one in rows]
            values |= {prefix + name: np.stack([one[name] for one in scores]) for name in SCORES}
    means = [one.weights.mean(0) for one in rows]
    values["received"] = np.stack([one[:prompt, :prompt].sum(0).numpy() for one in means])
    if len(means[0]) > prompt:
        answers = [one.weights[:, prompt:].mean(1).numpy() for one in rows]
        values["answer_attention"] = np.stack(answers)
    return values


@pytest.fixture(scope="module", params=["short", "chunks"])
def run(request, name, load, folder_of):
    """Return the trace of a run with its answer, and the same text in float64 and in float32."""
    tokenizer = AutoTokenizer.from_pretrained(folder_of(name))
    options = {"stats": "all", "lens": "all", "max_new_tokens": 8, "context": True}
    prompt = QUESTION
    if request.param == "chunks":
        prompt = tokenizer(TEXT)["input_ids"][:LONG]
        options |= {"chunk": 173, "map_tile": "64x32", "lens_positions": "0:4,298:302,593:"}
        options |= {"windows": ["-16:,0:64"]}
    model = load(name)
    trace = extract(model, prompt, tokenizer=tokenizer, **options)
    read = np.isfinite(trace["lens_entropy"][0]).all(0)
    positions = np.flatnonzero(read).tolist()
    ids = trace["token_ids"].tolist()
    double, single = (ExactModel(model, t) for t in (torch.float64, torch.float32))
    passages = [one.read(ids, positions) for one in (double, single)]
    return trace, tokenizer, (double, single), passages


def test_attention(run):
    trace, _, _, passages = run
    n = trace.dataset.sizes["query"]
    wanted, rounded = (of_rows(one.rows, trace.prompt_tokens) for one in passages)
    size = np.stack([one.size.numpy() for one in passages[0].rows])
    bounds = own_bounds(size, n)
    for key, values in wanted.items():
        if (key == "head_local" and trace.prompt_tokens < 4 * LOCAL) or key not in trace:
            continue
        measured = trace[key]
        if key == "received":
            measured = measured[:, 0, : trace.prompt_tokens]
        if np.isnan(measured).all() and key.startswith("head_"):
            continue  # an answer too short for the score
        rounding = np.nanmax(np.abs(rounded[key] - values))
        own = bounds.get(key, 2e-5 * (n if key == "received" else 1))
        assert_close(key, measured, values, own + OTHER_SUMS * rounding)
    differ = trace["top_key"] != np.stack([r.weights.argmax(-1) for r in passages[0].rows])
    gap = np.stack([one.gap.numpy() for one in passages[0].rows])
    rounding = np.abs(rounded["lse"] - wanted["lse"]).max()
    assert (gap[differ] <= 2 * (bounds["lse"][differ] + OTHER_SUMS * rounding)).all()
    visible = np.stack([one.visible.sum(-1).numpy() for one in passages[0].rows])
    np.testing.assert_array_equal(trace["visible"], visible)


def test_weights_of_windows_and_the_map(run):
    trace, _, _, passages = run
    prompt = trace.prompt_tokens
    for key in ("window", "window1"):
        if key not in trace:
            continue
        number = key.removeprefix("window")
        at = np.ix_(trace[f"window_query{number}"], trace[f"window_key{number}"])
        heads = trace[f"window_head{number}"]
        exact, rounded = (
            np.stack([_heads(one.weights.numpy(), heads)[(..., *at)] for one in p.rows])
            for p in passages
        )
        bound = 2e-5 + OTHER_SUMS * np.abs(rounded - exact).max()
        assert_close(key, trace[key], exact, bound)
    if "map" in trace:
        exact, rounded = (
            np.stack([one.tile_means(prompt, 64, 32) for one in p.rows]) for p in passages
        )
        bound = 2e-5 + OTHER_SUMS * np.abs(rounded - exact).max()
        assert_close("map", trace["map"][:, 0], exact, bound)


def test_attention_by_distance(run):
    trace, _, _, passages = run
    n = trace.prompt_tokens
    distance = np.arange(n)[:, None] - np.arange(n)
    ends = [*trace["context_bin"][2:], n]
    bins = list(zip(trace["context_bin"][1:], ends, strict=True))
    is_first = np.arange(n) < 4
    masks = [np.broadcast_to(is_first, (n, n))]
    masks += [~is_first & (distance >= low) & (distance < high) for low, high in bins]
    exact, rounded = (
        np.stack([
            np.stack([(one.weights.numpy()[:, :n, :n] * m).sum(-1).mean(-1) for m in masks], -1)
            for one in p.rows
        ])
        for p in passages
    )  # fmt: skip
    bound = 2e-5 + OTHER_SUMS * np.abs(rounded - exact).max()
    assert_close("context_mass", trace["context_mass"], exact, bound)
    sees = np.stack([one.visible.numpy()[:n, :n] for one in passages[0].rows])
    reach = [(sees & is_first).any(-1).mean(-1)]
    reach += [(sees & ~is_first & (distance >= low)).any(-1).mean(-1) for low, _ in bins]
    np.testing.assert_allclose(trace["context_reach"], np.stack(reach, -1), atol=1e-6)


def _heads(weights, heads):
    return weights.mean(0, keepdims=True) if list(heads) == [-1] else weights


def test_lens(run):
    trace, _, models, passages = run
    at, k = passages[0].positions, trace["lens_top_ids"].shape[-1]
    targets = torch.as_tensor(trace["target_ids"][at], dtype=torch.int64)
    pairs = list(zip(models, passages, strict=True))
    finals = [model.lens(passage.states["residual"][-1]) for model, passage in pairs]
    assert torch.equal(finals[0].argmax(-1), targets)
    for site, label in enumerate(trace.sites):
        for layer in range(trace.dataset.sizes["layer"]):
            exact, rounded = (
                lens_statistics(model.lens(p.states[str(label)][layer]), final, targets, k)
                for (model, p), final in zip(pairs, finals, strict=True)
            )
            _check_layer(trace, f"{label} {layer}", (site, layer, at), exact, rounded)


def _check_layer(trace, where, cells, exact, rounded, size=0.0):
    """Compare a layer's lens; size: Σ_d |x_d w_d| of the largest logit, whose rounding counts."""
    bounds = {}
    for key in ("lens_entropy", "lens_kl", "lens_target_logprob", "lens_top_logprobs"):
        rounding = np.abs(rounded[key] - exact[key]).max()
        bounds[key] = 1e-4 + 4 * SCORE * np.abs(exact[key]) + OTHER_SUMS * rounding + SCORE * size
        assert_close(f"{where} {key}", trace[key][cells], exact[key], bounds[key])
    off = np.abs(trace["lens_rank"][cells] - exact["lens_rank"])
    assert (off <= exact["near"]).all(), where
    gaps = np.abs(np.diff(exact["lens_top_logprobs"], axis=-1))
    clear = np.pad(gaps, ((0, 0), (1, 0)), constant_values=9.0)
    clear = np.minimum(clear, np.pad(gaps, ((0, 0), (0, 1)), constant_values=0.0))
    sure = clear > 2 * bounds["lens_top_logprobs"].max()
    assert (trace["lens_top_ids"][cells] == exact["lens_top_ids"])[sure].all(), where


def test_the_generated_tokens(run):
    trace, _, _, passages = run
    step = trace["generated_ids"]
    before = trace.prompt_tokens - 1
    columns = [passages[0].positions.index(before + i) for i in range(len(step))]
    logits = passages[0].logits[columns]
    assert logits.argmax(-1).tolist() == step.tolist()
    logprobs = logits.amax(-1).numpy()
    rounding = np.abs(passages[1].logits[columns].amax(-1).numpy() - logprobs).max()
    bound = 1e-4 + OTHER_SUMS * rounding
    assert_close("generated_logprob", trace["generated_logprob"], logprobs, bound)


def test_induction(run):
    trace, tokenizer, models, _ = run
    config = models[0].model.config
    ids = repeated_tokens(
        ordinary_ids(tokenizer, config.vocab_size),
        first=tokenizer.bos_token_id,
        positions=config.max_position_embeddings,
    )
    half = (len(ids) - 1) // 2
    queries = np.arange(1 + half, len(ids))
    exact, rounded = (
        np.stack([
            one.weights.numpy()[:, queries, queries - half + 1].mean(-1)
            for one in model.read(ids, [0]).rows
        ])
        for model in models
    )  # fmt: skip
    bound = 1e-5 + OTHER_SUMS * np.abs(rounded - exact).max()
    assert_close("head_induction", trace["head_induction"], exact, bound)


@contextmanager
def inputs_of(model):
    """Collect what a model's attention computes with: by layer, its queries, keys and outputs.

    Each is a list of [head, n, d], one per pass.
    """
    module = modeling_gemma3 if "gemma" in model.config.model_type else modeling_llama
    rotate, calls = module.apply_rotary_pos_emb, []

    def listen(query, key, *arguments, **options):
        query, key = rotate(query, key, *arguments, **options)
        calls.append((query[0].clone(), key[0].clone()))
        return query, key

    module.apply_rotary_pos_emb = listen
    try:
        yield calls
    finally:
        module.apply_rotary_pos_emb = rotate


def read_in_passes(model, ids, size):
    """Let a model read a text in passes of `size` tokens through its cache."""
    cache = DynamicCache(config=model.config)
    for start in range(0, len(ids), size):
        chunk = torch.tensor([ids[start : start + size]])
        model(chunk, past_key_values=cache, use_cache=True, logits_to_keep=1)


@pytest.mark.parametrize("passes", ["whole", "chunks", "answer"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_own_part_of_the_error_on_the_same_queries_and_keys(
    name, dtype, passes, load, folder_of
):
    """The model's rounding is in both: the oracle has the very queries and keys of the run."""
    model = load(name, dtype)
    ids = AutoTokenizer.from_pretrained(folder_of(name))(TEXT)["input_ids"][:LONG]
    with inputs_of(model) as calls, record(model, stats="all") as recorder:
        calls.clear()
        if passes == "answer":
            prompt = torch.tensor([ids[:40]])
            everything = torch.ones_like(prompt)
            model.generate(prompt, attention_mask=everything, max_new_tokens=6, do_sample=False)
        else:
            read_in_passes(model, ids, 1000 if passes == "whole" else 173)
    trace, layers = recorder.trace, model.config.num_hidden_layers
    attention = [layer.self_attn for layer in model.model.layers]
    for layer, module in enumerate(attention):
        query, key = (torch.cat(parts, 1) for parts in zip(*calls[layer::layers], strict=True))
        rows = rows_of(query, key, module.scaling, getattr(module, "sliding_window", None))
        size, exact = rows.size.numpy(), rows.statistics()
        for label, bound in own_bounds(size, len(size[0])).items():
            if label in trace:
                values = trace[label][layer]
                assert_close(f"{passes} {layer} {label}", values, exact[label], bound)
        differ = trace["top_key"][layer] != rows.weights.argmax(-1).numpy()
        assert (rows.gap.numpy()[differ] <= 4e-5 + 2 * SCORE * size[differ]).all()


def test_the_own_part_of_the_lens_on_the_same_states_in_bfloat16(name, load, folder_of):
    model = load(name, torch.bfloat16)
    ids = AutoTokenizer.from_pretrained(folder_of(name))(TEXT)["input_ids"][:24]
    states = []

    def listen(module, arguments, output):
        first = output[0] if isinstance(output, tuple) else output
        states.append(first.reshape(-1, first.shape[-1]).clone())

    hooks = [layer.register_forward_hook(listen) for layer in model.model.layers]
    try:
        with record(model, lens="residual") as recorder:
            states.clear()
            model(torch.tensor([ids]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    trace = recorder.trace
    head = model.lm_head.weight.detach().double()
    with torch.no_grad():
        inputs = [model.model.norm(one).double() for one in states[: len(model.model.layers)]]
    magnitudes = head.abs()
    logprobs = [(one @ head.mT).log_softmax(-1) for one in inputs]
    targets = torch.as_tensor(trace["target_ids"], dtype=torch.int64)
    for layer, own in enumerate(logprobs):
        exact = lens_statistics(own, logprobs[-1], targets, trace["lens_top_ids"].shape[-1])
        size = float((inputs[layer].abs() @ magnitudes.mT).max())
        _check_layer(trace, f"layer {layer}", (0, layer, range(len(ids))), exact, exact, size)

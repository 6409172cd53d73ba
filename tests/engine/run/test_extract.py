"""A complete extraction matches values computed directly from the model."""

import json
import os

import numpy as np
import pytest
import torch

from attentropy.engine import demo
from attentropy.engine.errors import UsageError
from attentropy.engine.maps.plan import plan_sweeps
from attentropy.engine.profile.profile import profile
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.thumbnails import decode_mass
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from tiny import save

HOSTILE = (
    "</script><script>document.title='taken'</script><!-- \u2028 \u2029 👩‍👩‍👧 "
    "العاصمة מהי הבירה 首都是什么 \x00\x1b[31m {{ 7*7 }} ${1}"
)


@pytest.fixture(scope="module")
def trace():
    """Return the trace of the default options."""
    return extract(device="cpu")


@pytest.fixture(scope="module")
def eager(embedded, trace):
    """Return the model's own attention weights, and each layer's logits, for the same ids."""
    return _read_eagerly(embedded, trace)


def _read_eagerly(embedded, trace):
    ids = torch.tensor(trace["token_ids"][None]).long()
    embedded.model.set_attn_implementation("eager")
    outputs = []
    hooks = [
        layer.register_forward_hook(lambda module, args, out: outputs.append(out))
        for layer in embedded.model.model.layers
    ]
    with torch.no_grad():
        output = embedded.model(ids, output_attentions=True, use_cache=False)
        states = [out[0] if isinstance(out, tuple) else out for out in outputs]
        for hook in hooks:
            hook.remove()
        model = embedded.model
        logits = [model.lm_head(model.model.norm(state))[0].double() for state in states]
    assert torch.equal(logits[-1], output.logits[0].double())
    return output.attentions, logits


def test_the_default_job_asks_for_the_capital_of_australia(trace):
    text = "".join(trace["token_text"])
    assert demo.DEFAULT_PROMPT in text
    assert trace.dataset.attrs["answer"] == "Canberra"
    assert set(trace["role"][: trace.prompt_tokens]) == {"bos", "template", "content"}
    assert set(trace["role"][trace.prompt_tokens :]) == {"generated"}


def test_entropies_match_eager_attention(trace, eager):
    weights = torch.stack([w[0] for w in eager[0]]).double()
    wanted = -torch.where(weights > 0, weights * weights.log(), 0.0).sum(-1)
    np.testing.assert_allclose(trace["entropy"], wanted, atol=1e-5)
    np.testing.assert_allclose(trace["max_prob"], weights.amax(-1), atol=1e-5)
    prompt = slice(trace.prompt_tokens)
    np.testing.assert_allclose(trace["window"], weights[..., prompt, prompt], atol=1e-5)
    length = weights.shape[-1]
    np.testing.assert_array_equal(trace["visible"], np.tile(np.arange(1, length + 1), (8, 1)))


def test_what_is_kept_beside_the_statistics_matches_eager_attention(
    trace, eager, embedded, tmp_path
):
    n = trace.prompt_tokens
    weights = torch.stack([w[0] for w in eager[0]]).double()[..., :n, :n]
    np.testing.assert_allclose(trace["received"][:, 0, :n], weights.mean(1).sum(1), atol=1e-5)
    assert np.isnan(trace["received"][:, 0, n:]).all()
    np.testing.assert_allclose(trace["head_sink"], weights[..., 0].mean(-1), atol=1e-5)
    previous = weights[..., range(1, n), range(n - 1)].mean(-1)
    np.testing.assert_allclose(trace["head_previous"], previous, atol=1e-5)
    np.testing.assert_allclose(trace["uniform_sink"], (1 / np.arange(1, n + 1)).mean(), rtol=1e-5)
    assert np.isnan(trace["head_local"]).all()  # 17 tokens are not 4 × 64
    assert np.isfinite(trace["head_induction"]).all()
    assert "map" not in trace
    assert trace["thumbnail"].shape == (8, 4, n, n)  # 17 tokens: each is a tile
    np.testing.assert_allclose(decode_mass(trace["thumbnail"]), weights, atol=0.004)
    path = tmp_path / "t.zarr.zip"
    recording = extract(
        device="cpu",
        map_tile="5x3",
        map_heads="all",
        windows=["-4:,:", "3:5,1:3"],
        max_new_tokens=0,
    )
    recording.save(path)
    result = Trace.open(path)
    weights = weights.numpy()
    tiles = np.add.reduceat(np.add.reduceat(weights, range(0, n, 5), 2), range(0, n, 3), 3)
    np.testing.assert_allclose(result["map"], tiles / np.array([5, 5, 5, 2])[:, None], atol=1e-5)
    np.testing.assert_allclose(result["window"], weights, atol=1e-5)
    np.testing.assert_allclose(result["window1"], weights[:, :, -4:], atol=1e-5)
    np.testing.assert_allclose(result["window2"], weights[:, :, 3:5, 1:3], atol=1e-5)
    options = result.attrs["options"]
    assert options["map_tile"] == [5, 3]
    assert options["windows"] == ["-4:,:", "3:5,1:3"]
    assert options["scores"] is True
    assert options["thumbnails"] is True
    np.testing.assert_array_equal(result["thumbnail"], trace["thumbnail"])
    assert list(result["tile_q"]) == list(result["tile_k"]) == list(range(n))


def test_layers_that_are_not_recorded_have_no_part_in_what_is_kept(embedded):
    sweeps, _ = plan_sweeps(embedded, 8000, map_heads="all", recorded={1, 4})
    assert sweeps.heads == (0, 4, 0, 0, 4, 0, 0, 0)
    assert sweeps.tile < plan_sweeps(embedded, 8000, map_heads="all")[0].tile
    induction = sweeps.finished()["head_induction"][1]
    assert np.isnan(induction).all(1).tolist() == [count == 0 for count in sweeps.heads]


def test_scores_and_maps_can_be_left_out():
    result = extract(device="cpu", max_new_tokens=0, scores=False, map_tile="none")
    names = {str(name) for name in result.dataset.variables}
    assert not [n for n in names if n.startswith(("head_", "uniform_", "map", "received", "score"))]
    assert "thumbnail" not in names
    assert "window" in names


def test_thumbnails_can_be_left_out_and_be_all_that_is_swept():
    without = extract(device="cpu", max_new_tokens=0, lens="none", thumbnails=False)
    assert "thumbnail" not in without
    assert "received" in without
    options = {"device": "cpu", "max_new_tokens": 0, "lens": "none", "map_tile": "none"}
    alone = extract(thumbnails=True, heads="1,3", layers="2:4", **options)
    assert "received" not in alone
    assert alone["thumbnail"].shape[:2] == (8, 2)
    assert alone["thumbnail"].any((-2, -1)).tolist() == [[i in (2, 3)] * 2 for i in range(8)]
    with pytest.raises(UsageError, match="`thumbnails`"):
        extract(stats="none", thumbnails=True, **options)


def test_the_lens_matches_a_plain_softmax(trace, eager):
    for layer, logits in enumerate(eager[1]):
        logprobs = logits.log_softmax(-1)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        best = logprobs.topk(5)
        here = trace.dataset.sel(site="residual").isel(layer=layer)
        np.testing.assert_allclose(here["lens_entropy"], entropy, atol=2e-5)
        np.testing.assert_allclose(here["lens_top_logprobs"], best.values, atol=2e-5)
        np.testing.assert_array_equal(here["lens_top_ids"], best.indices)
    final = trace.dataset["lens_top_ids"].sel(site="residual").isel(layer=-1, k=0)
    np.testing.assert_array_equal(trace["target_ids"], final)


def test_divergence_from_the_last_layer_is_that_of_the_two_softmaxes(trace, eager):
    final = eager[1][-1].log_softmax(-1)
    for layer, logits in enumerate(eager[1]):
        wanted = (final.exp() * (final - logits.log_softmax(-1))).sum(-1)
        np.testing.assert_allclose(trace.lens("lens_kl")[layer], wanted, atol=2e-5)
    assert trace.lens("lens_kl")[0, : trace.prompt_tokens].min() > 1e-3
    assert np.abs(trace.lens("lens_kl")[-1]).max() <= 1e-6


def test_the_generated_answer_is_the_models_own(trace, embedded):
    n = trace.prompt_tokens
    ids = torch.tensor(trace["token_ids"][None, :n]).long()
    assert trace["token_ids"][n:].tolist() == trace["generated_ids"].tolist()
    assert trace["generated_rank"].tolist() == [0] * trace.dataset.sizes["step"]
    with torch.no_grad():
        for i, token in enumerate(trace["generated_ids"]):
            logits = embedded.model(ids, use_cache=False).logits[0, -1]
            own = logits.double().log_softmax(-1)
            assert int(own.argmax()) == token
            assert trace["generated_logprob"][i] == pytest.approx(float(own.max()), abs=1e-5)
            entropy = float(-(own.exp() * own).sum())
            assert trace["generated_entropy"][i] == pytest.approx(entropy, abs=1e-5)
            ids = torch.cat([ids, torch.tensor([[int(token)]])], 1)


@pytest.mark.parametrize("question", [demo.DEFAULT_PROMPT, "What is the capital of India?"])
def test_rehearsal_is_the_best_of_the_answers_later_tokens(embedded, question):
    trace = extract(prompt=question, device="cpu")
    logits_of = _read_eagerly(embedded, trace)[1]
    content = trace["generated_content"].astype(bool)
    answer = list(dict.fromkeys(trace["generated_ids"][content].tolist()))
    assert len(answer) == len(trace.attrs["answer"].split()), "a word is a token"
    ids, roles = trace["token_ids"], trace["role"]
    own = trace["target_ids"].copy()  # the token that the position itself predicts
    n = trace.prompt_tokens
    for position in np.flatnonzero(roles[: n - 1] != "content"):
        own[position] = ids[position + 1]
    assert np.isnan(trace["rehearsal"][..., n:]).all()  # it is looked for in the prompt
    for layer, logits in enumerate(logits_of):
        logprobs = logits.log_softmax(-1)
        for position, next_token in enumerate(own[:n]):
            allowed = [token for token in answer if token != next_token]
            here = trace.dataset.isel(site=0, layer=layer, position=position)
            if not allowed:  # no token of the answer comes later than the next one
                assert np.isnan(here["rehearsal"])
                assert int(here["rehearsal_ids"]) == int(here["rehearsal_rank"]) == -1
                continue
            best = max(allowed, key=lambda token: float(logprobs[position, token]))
            assert float(here["rehearsal"]) == pytest.approx(
                float(logprobs[position, best]), abs=1e-4
            )
            assert int(here["rehearsal_ids"]) == best
            rank = int((logprobs[position] > logprobs[position, best]).sum())
            assert int(here["rehearsal_rank"]) == rank


def test_a_second_run_gives_the_same_numbers(trace):
    again = extract(device="cpu").dataset
    for name, values in trace.dataset.data_vars.items():
        np.testing.assert_array_equal(again[name].values, values.values, err_msg=name)


def test_hostile_text_comes_through_whole(tmp_path):
    result = extract(prompt=HOSTILE, device="cpu")
    path = tmp_path / "hostile.zarr.zip"
    result.save(path)
    opened = Trace.open(path)
    spans = zip(opened["byte_start"], opened["byte_end"], strict=True)
    assert all(start <= stop for start, stop in spans)
    page = render(opened, observe(opened))
    assert "<script>document.title" not in page
    assert "\u2028" not in page
    assert "首" in page or "\\u9996" in page


def test_progress_names_each_stage_and_ends_where_it_said():
    reports = []
    extract(device="cpu", progress=lambda *words: reports.append(words))
    stages = list(dict.fromkeys(stage for stage, _, _ in reports))
    assert stages[:3] == ["loading the model", "checking the model", "reading the prompt"]
    assert all(done <= total for _, done, total in reports)
    assert reports[-1][1] == reports[-1][2]


def test_without_a_lens_only_attention_is_recorded():
    result = extract(device="cpu", lens=(), max_new_tokens=0)
    assert "entropy" in result.dataset
    assert not [name for name in result.dataset if name.startswith(("lens", "rehearsal"))]
    assert result.dataset.sizes["step"] == 0


def test_a_raw_prompt_has_no_template(embedded):
    result = extract(prompt="Paris", chat_template=False, device="cpu")
    assert "template" not in result["role"]


def test_a_strangers_model_runs_and_is_described(tmp_path):
    folder = save(tmp_path / "tiny")
    result = extract(folder, "Hello there", device="cpu")
    facts = result.dataset.attrs["model"]
    assert facts["name"] == str(folder) or facts["name"] == "tiny"
    json.dumps(result.dataset.attrs)


def test_a_loaded_model_and_its_tokenizer_give_the_trace_of_the_folder(trace, embedded):
    before = embedded.model.config._attn_implementation
    result = extract(embedded.model, demo.DEFAULT_PROMPT, tokenizer=embedded.tokenizer)
    for name, values in trace.dataset.data_vars.items():
        if name.startswith("generated_") and values.dtype.kind == "f":
            # Decoded with the model's own attention, which another test may have set.
            np.testing.assert_allclose(result[name], values.values, rtol=1e-4)
        else:
            np.testing.assert_array_equal(result[name], values.values, err_msg=name)
    assert result.attrs["tokenizer"] == trace.attrs["tokenizer"]
    assert "/" not in result.attrs["model"]["name"]
    assert embedded.model.config._attn_implementation == before


@pytest.mark.parametrize("work", [extract, profile])
def test_a_run_takes_one_bounded_child(work, tmp_path, monkeypatch):
    """Count the forks of a run that reads a configuration and renders a template."""
    folder, fork, children = save(tmp_path / "tiny"), os.fork, []

    def noted():
        children.append(fork())
        return children[-1]

    monkeypatch.setattr(os, "fork", noted)
    few = {"repeat": 1} if work is profile else {"max_new_tokens": 1, "map_tile": "none"}
    work(folder, "some words", device="cpu", lens="none", **few)
    assert len(children) == 1
    with pytest.raises(ChildProcessError):  # it was ended and waited for
        os.waitpid(children[0], os.WNOHANG)

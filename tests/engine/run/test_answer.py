"""The tokens of an answer are recorded as exactly as those of the prompt."""

import numpy as np
import pytest
import torch

from attentropy.engine.coverage.tiny import tiny_model
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.cache import CachePoint, cache_of, continuing
from attentropy.engine.run import decode, prefill
from attentropy.engine.run.decode import Sampling, choose
from attentropy.engine.run.extract import extract
from attentropy.engine.run.reader import PromptReader
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.sinks import MemorySink
from grids import diagonal
from interrupted import assert_equal
from tiny import model, tokenizer

pytestmark = pytest.mark.costly

IDS = torch.randint(0, 250, (19,), generator=torch.Generator().manual_seed(3)).tolist()
SLIDING = {"sliding_window": 12, "head_dim": 16}
FAMILIES = {
    "llama": lambda: model(),
    "gemma3_text": lambda: model("gemma3_text", query_pre_attn_scalar=16, **SLIDING),
    "gpt_oss": lambda: model("gpt_oss", num_local_experts=4, **SLIDING),
    "falcon_h1": lambda: _hybrid("FalconH1ForCausalLM"),
    "qwen3_next": lambda: _hybrid("Qwen3NextForCausalLM"),
}
SAMPLED = {"temperature": 1.3, "top_p": 0.9, "seed": 5}


def _hybrid(name):
    import transformers

    hybrid = tiny_model(getattr(transformers, name))
    hybrid.resize_token_embeddings(264, mean_resizing=False)
    return hybrid


def _endless(subject):
    """Return the model with nothing that ends its turn, and a tokenizer without an end."""
    subject.config.eos_token_id = None
    subject.generation_config.eos_token_id = None
    own = tokenizer(template=None)
    own.eos_token = None
    return subject, own


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    subject, own = _endless(FAMILIES[request.param]())
    return subject, own, IDS


def _eager(subject, ids):
    """Return the model's own attention weights by layer, [H, N, N] float64, and its logits."""
    before = subject.config._attn_implementation
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        output = subject(torch.tensor([ids]), output_attentions=True, use_cache=False)
    subject.set_attn_implementation(before)
    weights = [w[0].double() for w in output.attentions if w is not None]
    weights = [w / w.sum(-1, keepdim=True) for w in weights]  # of the keys, where there are sinks
    return weights, output.logits[0].double()


def _entropies(weights):
    return -torch.where(weights > 0, weights * weights.log(), 0.0).sum(-1)


def test_rows_are_those_of_eager_attention_over_the_whole_sequence(family):
    subject, own, ids = family
    trace = extract(subject, ids, tokenizer=own, max_new_tokens=40, chunk=16)
    n = trace.prompt_tokens
    assert (n, len(trace.tokens)) == (19, 59)
    assert trace.roles[n:] == ["generated"] * 40
    assert trace["token_ids"][n:].tolist() == trace["generated_ids"].tolist()
    weights, logits = _eager(subject, trace["token_ids"].tolist())
    calls = np.flatnonzero(trace["heads"] > 0)
    assert len(calls) == len(weights)
    for entry, own_weights in zip(calls, weights, strict=True):
        np.testing.assert_allclose(trace["entropy"][entry], _entropies(own_weights), atol=1e-5)
        np.testing.assert_allclose(trace["max_prob"][entry], own_weights.amax(-1), atol=1e-5)
        first = own_weights[:, n:, 0].mean(-1)
        sees = (own_weights[:, n:, 0] > 0).any()
        if sees and np.isfinite(trace["head_answer_sink"][entry]).all() and first.min() > 0:
            visible = trace["visible"][entry, n:]
            if (visible == np.arange(n, 59) + 1).all():
                np.testing.assert_allclose(trace["head_answer_sink"][entry], first, atol=1e-5)
    logprobs = logits.log_softmax(-1)
    if "lens_entropy" in trace:
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        np.testing.assert_allclose(trace.lens("lens_entropy")[-1], entropy, atol=1e-4)
    for i, token in enumerate(trace["generated_ids"]):
        row = logprobs[n - 1 + i]
        assert trace["generated_logprob"][i] == pytest.approx(float(row[token]), abs=1e-4)
        entropy = float(-(row.exp() * row).sum())
        assert trace["generated_entropy"][i] == pytest.approx(entropy, abs=1e-4)
        assert trace["generated_rank"][i] == int((row > row[token]).sum())


def test_a_greedy_answer_is_that_of_transformers(family):
    subject, own, ids = family
    trace = extract(subject, ids, tokenizer=own, max_new_tokens=30, chunk=16, lens="none")
    prompt = torch.tensor([ids])
    wanted = subject.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=30, do_sample=False,
        pad_token_id=0,
    )  # fmt: skip
    assert trace["token_ids"].tolist() == wanted[0].tolist()
    assert trace.attrs["options"]["decoding"] == "greedy"


def test_a_cache_returns_to_where_it_was(family):
    subject, _, ids = family
    prompt = torch.tensor([ids])
    with torch.no_grad():
        cache = cache_of(subject(prompt[:, :15], use_cache=True))
        point = CachePoint(cache, 9)
        for i in (3, 4, 5, 6, 7, 8, 9, 3, 4):
            cache = cache_of(subject(torch.tensor([[i]]), use_cache=True, **continuing(cache)))
        logits = subject(prompt[:, 15:], use_cache=True, **continuing(point.restored())).logits
        again = cache_of(subject(prompt[:, :15], use_cache=True))
        wanted = subject(prompt[:, 15:], use_cache=True, **continuing(again)).logits
    torch.testing.assert_close(logits, wanted, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def endless():
    return _endless(model(num_hidden_layers=2))


def _answered(endless, **options):
    subject, own = endless
    return extract(subject, IDS, tokenizer=own, chunk=16, **{"max_new_tokens": 40, **options})


def test_a_model_that_must_read_in_one_pass_gives_the_same_rows(endless, monkeypatch):
    wanted = _answered(endless)
    monkeypatch.setattr(prefill, "why_whole", lambda probe: "its cache forgets")
    trace = _answered(endless)
    assert trace["token_ids"].tolist() == wanted["token_ids"].tolist()
    for name in wanted:
        assert trace[name].shape == wanted[name].shape, name
        if wanted[name].dtype.kind == "f":
            np.testing.assert_allclose(trace[name], wanted[name], atol=2e-4, err_msg=name)


@diagonal(
    {"way": {"greedy": {}, "sampled": SAMPLED}, "keep_cache": {"replayed": False, "kept": True}}
)
def test_a_run_that_was_stopped_within_its_answer_goes_on_to_the_same_bits(
    endless, tmp_path, monkeypatch, way, keep_cache
):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    wanted = _answered(endless, output=tmp_path / "wanted.zarr", **way)
    read = PromptReader._run_pass

    def stops(self, start, *rest):
        if start == 19 + 32:
            raise KeyboardInterrupt
        return read(self, start, *rest)

    target = tmp_path / "t.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(PromptReader, "_run_pass", stops)
        with pytest.raises(KeyboardInterrupt, match="19 of 19 tokens and 32 tokens of the answer"):
            _answered(endless, output=target, keep_cache=keep_cache, **way)
    partial = Trace.open(tmp_path / "t.zarr.partial", partial=True)
    assert partial["token_ids"].tolist() == wanted["token_ids"][:51].tolist()
    assert partial.roles == wanted.roles[:51]
    assert partial.prompt_tokens == 19
    np.testing.assert_array_equal(partial["entropy"], wanted["entropy"][..., :51])
    np.testing.assert_array_equal(partial["lens_entropy"], wanted["lens_entropy"][..., :51])
    assert_equal(_answered(endless, output=target, resume=True, **way), wanted)
    torch.set_num_threads(threads)


def test_a_seed_gives_one_answer_and_another_seed_another(endless):
    rest = {"lens": "none", "scores": False}
    first, again = (_answered(endless, **SAMPLED, **rest) for _ in range(2))
    other = _answered(endless, **{**SAMPLED, "seed": 6}, **rest)
    assert first["token_ids"].tolist() == again["token_ids"].tolist()
    assert first["token_ids"].tolist() != other["token_ids"].tolist()
    options = first.attrs["options"]
    assert [options[name] for name in ("decoding", "temperature", "top_p", "seed")] == [
        "sampled", 1.3, 0.9, 5,
    ]  # fmt: skip
    _, logits = _eager(endless[0], first["token_ids"].tolist())
    for i, token in enumerate(first["generated_ids"]):  # of the output itself, not of what is drawn
        row = logits[18 + i].log_softmax(-1)
        assert first["generated_logprob"][i] == pytest.approx(float(row[token]), abs=1e-4)
        assert first["generated_rank"][i] == int((row > row[token]).sum())


@pytest.mark.parametrize("first", [1, 3, 1024])
def test_draws_follow_temperature_and_top_p(monkeypatch, first):
    monkeypatch.setattr(decode, "_NUCLEUS", first)  # whatever is looked through before all
    logits = torch.tensor([[2.0, 1.0, 0.5, -1.0, -3.0]])
    counts = np.zeros(5)
    for step in range(4000):
        counts[choose(logits, Sampling(0.7, 1.0, 1), step).id] += 1
    wanted = (logits[0].double() / 0.7).softmax(-1).numpy()
    np.testing.assert_allclose(counts / 4000, wanted, atol=0.03)
    drawn = {choose(logits, Sampling(0.7, wanted[0] + 1e-6, 1), step).id for step in range(200)}
    assert drawn == {0, 1}  # the fewest that hold so much
    assert {choose(logits, Sampling(0.7, 1e-9, 1), step).id for step in range(50)} == {0}


def test_a_temperature_of_zero_is_greedy(endless):
    rest = {"lens": "none", "scores": False, "max_new_tokens": 6}
    assert _answered(endless, temperature=0, **rest)["generated_rank"].max() == 0


def test_an_answer_that_cannot_be_read_is_noted_and_its_tokens_stay(endless, monkeypatch):
    wanted = _answered(endless)
    read = PromptReader._run_pass

    def fails(self, start, *rest):
        output = read(self, start, *rest)
        if start >= 19 + 16:
            raise AttentropyError("sparse attention")
        return output

    monkeypatch.setattr(PromptReader, "_run_pass", fails)
    trace = _answered(endless)
    assert trace["token_ids"].tolist() == wanted["token_ids"].tolist()
    assert trace.attrs["notes"] == [
        "the tokens from position 35 on, in the answer, were not recorded: sparse attention"
    ]
    np.testing.assert_array_equal(trace["entropy"][..., :35], wanted["entropy"][..., :35])


def test_an_answer_ends_with_its_turn_and_with_the_models_positions(endless):
    subject, own = endless
    free = _answered(endless, lens="none", scores=False)
    subject.generation_config.eos_token_id = int(free["generated_ids"][5])
    trace = _answered(endless, lens="none", scores=False)
    first = free["generated_ids"].tolist().index(free["generated_ids"][5])
    assert trace.dataset.sizes["step"] == first + 1
    assert len(trace.tokens) == 19 + first + 1
    subject.generation_config.eos_token_id = None
    ids = (IDS * 20)[:250]
    end = extract(subject, ids, tokenizer=own, max_new_tokens=50, lens="none", scores=False)
    assert (len(end.tokens), end.dataset.sizes["step"]) == (256, 6)


def test_without_an_answer_the_trace_is_the_prompt_alone(endless):
    trace = _answered(endless, max_new_tokens=0)
    assert len(trace.tokens) == trace.prompt_tokens == 19
    assert trace.dataset.sizes["step"] == 0
    assert not [name for name in trace if "answer" in name]


def test_the_prompts_own_values_do_not_depend_on_the_answer(endless):
    alone, trace = (_answered(endless, max_new_tokens=count) for count in (0, 40))
    for name in alone:
        if name.startswith(("generated", "rehearsal")):
            continue
        dims = trace.dataset[name].dims
        at = tuple(slice(19) if d in ("query", "position") else slice(None) for d in dims)
        np.testing.assert_array_equal(trace[name][at], alone[name], err_msg=name)


def test_a_short_answer_takes_no_room_for_a_long_one(endless, monkeypatch):
    shapes = []
    put = MemorySink.put

    def note(self, name, at, values):
        put(self, name, at, values)
        if name == "entropy":
            shapes.append(self.arrays[name].shape[-1])

    monkeypatch.setattr(MemorySink, "put", note)
    subject, own = endless
    subject.generation_config.eos_token_id = list(range(264))
    trace = extract(subject, IDS, tokenizer=own, max_new_tokens=200, chunk=16)
    subject.generation_config.eos_token_id = None
    assert trace["entropy"].shape[-1] == 20
    assert max(shapes) == 19 + 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "`temperature` must be a number of at least 0"),
        ({"temperature": float("nan")}, "`temperature` must be"),
        ({"temperature": "hot"}, "`temperature` must be"),
        ({"top_p": 0}, "`top_p` must be a number above 0 and at most 1"),
        ({"top_p": 1.5}, "`top_p` must be"),
        ({"seed": -1}, "`seed` must be"),
        ({"seed": 2**63}, "`seed` must be"),
    ],
)
def test_arguments_that_cannot_work(endless, options, message):
    with pytest.raises(UsageError, match=message):
        _answered(endless, **options)

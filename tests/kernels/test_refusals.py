"""What the operations do not compute is refused in one line, and what is empty is empty."""

import pytest
import torch
from odd_cases import INF, NAN, normal, plain
from torch.autograd import forward_ad

from attentropy import (
    attention,
    attention_at,
    attention_by_distance,
    attention_map,
    attention_received,
    attention_recent,
    attention_window,
    vocabulary,
)
from attentropy.kernels import registered
from attentropy.kernels.choice import attention_limit
from attentropy.kernels.vocabulary import triton_launch
from close import assert_close, inputs

_FLOATS = torch.zeros(2, 40)
REFUSED = [
    ({"scale": INF}, ValueError, "scale must be finite"),
    ({"scale": NAN}, ValueError, "scale must be finite"),
    ({"softcap": INF}, ValueError, "softcap must be positive and finite"),
    ({"softcap": NAN}, ValueError, "softcap must be positive and finite"),
    ({"window": 2.5}, TypeError, "window must be an integer, not 2.5"),
    ({"window": True}, TypeError, "window must be an integer"),
    ({"chunk": 3.0}, TypeError, "chunk must be an integer, not 3.0"),
    ({"query_offset": 1.7}, TypeError, "query_offset must be an integer, not 1.7"),
    ({"query_offset": torch.tensor(1.0)}, TypeError, "query_offset must be an integer"),
    ({"key_starts": torch.zeros(2)}, TypeError, "key_starts must have integers"),
    ({"key_lengths": torch.ones(2)}, TypeError, "key_lengths must have integers"),
    ({"segments": _FLOATS}, TypeError, "segments must have integers"),
    ({"last_keys": _FLOATS}, TypeError, "last_keys must have integers"),
]


@pytest.mark.parametrize(("change", "error", "words"), REFUSED, ids=lambda x: str(x)[:40])
@pytest.mark.parametrize("run", [attention, attention_received])
def test_numbers_that_mean_nothing_are_refused(run, change, error, words):
    q, k, v = plain()
    third = v if run is attention else torch.zeros(2, 4, 40)
    with pytest.raises(error, match=words) as caught:
        run(q, k, third, **change)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("run", "change", "words"),
    [
        (attention_map, {"tile": 2.5}, "tile must be an integer"),
        (attention_map, {"tile": (2, 1.5)}, "tile must be an integer"),
        (attention_recent, {"last": 1.5}, "last must be an integer"),
        (attention_window, {"rows": (0, 1.5), "cols": (0, 2)}, "rows must be an integer"),
    ],
)
def test_sizes_of_the_second_sweep_are_whole_numbers(run, change, words):
    q, k, _ = plain()
    with pytest.raises(TypeError, match=words):
        run(q, k, torch.zeros(2, 4, 40), **change)


def test_whole_numbers_of_other_types_are_taken():
    q, k, v = plain()
    wanted = attention(q, k, v, window=3, query_offset=0)
    number = torch.tensor(3)
    got = attention(q, k, v, window=number.numpy()[()], query_offset=number - 3)
    assert torch.equal(got.entropy, wanted.entropy)


@pytest.mark.parametrize("change", [{"scale": INF}, {"softcap": NAN}, {"top_k": 2.0}], ids=str)
def test_the_vocabulary_refuses_them_too(change):
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        vocabulary(normal(3, 8), normal(9, 8), **change)


_Q, _K, _V = plain()
_WORDS = normal(9, 32)
RUNS = {
    "attention": lambda q: attention(q, _K, _V).entropy,
    "vocabulary": lambda q: vocabulary(q[0, 0], _WORDS).entropy,
    "second sweep": lambda q: attention_map(q, _K, torch.zeros(2, 4, 40), tile=4),
}


def _dual(run):
    with forward_ad.dual_level():
        run(forward_ad.make_dual(_Q, _Q))


@torch.no_grad()
def _jvp_without_grad(run):
    torch.func.jvp(run, (_Q,), (_Q,))


TRANSFORMS = {
    "jvp": lambda run: torch.func.jvp(run, (_Q,), (_Q,)),
    "jacfwd": lambda run: torch.func.jacfwd(run)(_Q),
    "vmap": lambda run: torch.func.vmap(run)(_Q.expand(3, -1, -1, -1, -1)),
    "dual": _dual,
    "jvp without grad": _jvp_without_grad,
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_derivatives_and_vmap_are_refused_and_never_zero(transform, run):
    with pytest.raises(RuntimeError, match=r"forward-mode|torch\.func\.vmap") as caught:
        transform(run)
    assert "\n" not in str(caught.value)


_BFLOAT16, _FLOAT32, _FLOAT64 = torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    "types",
    [(_BFLOAT16, _FLOAT32, _FLOAT32), (_FLOAT32, _FLOAT64, _FLOAT32),
     (_FLOAT32, _FLOAT32, _FLOAT64), (torch.float16, _BFLOAT16, _BFLOAT16)],
)  # fmt: skip
def test_tensors_of_several_types_are_left_to_the_portable_implementation(types):
    q, k, v = (x.to(dtype) for x, dtype in zip(plain(), types, strict=True))
    assert attention_limit(None, q, k, v) is not None
    wanted = attention(q, k, v, impl="reference")
    got = attention(q, k, v)
    assert got.out.dtype == v.dtype
    assert_close(got.entropy, wanted.entropy, 1e-4, "entropy")
    with pytest.raises(NotImplementedError, match="use impl='portable'"):
        attention(q, k, v, impl="triton")


def test_a_first_tensor_of_8_bits_is_left_to_the_portable_implementation():
    q, k, v = (x.to(torch.float8_e4m3fn) for x in plain())
    assert attention_limit(None, q, k, v) == "float8_e4m3fn"
    assert attention(q, k, v).entropy.isfinite().all()


EMPTY = {
    "no batch": ((0, 4, 8, 16), (0, 2, 8, 16)),
    "no heads": ((2, 0, 8, 16), (2, 2, 8, 16)),
    "no heads at all": ((2, 0, 8, 16), (2, 0, 8, 16)),
    "no queries": ((2, 4, 0, 16), (2, 2, 8, 16)),
    "no keys": ((2, 4, 8, 16), (2, 2, 0, 16)),
    "nothing": ((2, 4, 0, 16), (2, 2, 0, 16)),
}


@pytest.mark.parametrize("impl", ["reference", "portable", "triton"])
@pytest.mark.parametrize(("queries", "keys"), EMPTY.values(), ids=EMPTY)
def test_what_is_empty_has_empty_results(queries, keys, impl):
    q, k = normal(*queries), normal(*keys)
    got = attention(q, k, k, stats="entropy,top_key", impl=impl)
    assert got.out.shape == q.shape
    assert got.entropy.shape == got.lse.shape == q.shape[:3]
    assert (got.out == 0).all()
    assert got.entropy.isnan().all()
    assert (got.top_key == -1).all()
    batch, heads, rows, _ = q.shape
    call = {"lse": got.lse, "impl": impl}
    assert attention_map(q, k, tile=3, **call).shape[:2] == (batch, heads)
    assert attention_received(q, k, **call).shape == (batch, heads, k.shape[2])
    window = attention_window(q, k, rows=(0, rows), cols=(0, k.shape[2]), **call)
    assert window.shape == (batch, heads, rows, k.shape[2])
    at = attention_at(q, k, keys=torch.zeros(batch, rows, dtype=torch.int64), **call)
    assert at.shape == attention_recent(q, k, last=3, **call).shape == (batch, heads, rows)
    by_distance = attention_by_distance(q, k, **call)
    assert by_distance.shape[:2] == (batch, heads)
    assert (by_distance == 0).all()


def test_heads_without_a_size_are_refused():
    q = torch.zeros(1, 1, 4, 0)
    with pytest.raises(ValueError, match="head size"):
        attention(q, q, q)


@pytest.mark.parametrize("stats", ["entropy", "entropy,max_prob"])
def test_autocast_does_not_round_the_scores(stats):
    q, k, v = inputs(50, 50)
    wanted = attention(q, k, v, stats=stats)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attention(q, k, v, stats=stats)
        maps = attention_map(q, k, got.lse, tile=7)
        lens = vocabulary(q[0, 0], k[0, 0])
    assert torch.equal(got.entropy, wanted.entropy)
    assert torch.equal(maps, attention_map(q, k, wanted.lse, tile=7))
    assert torch.equal(lens.entropy, vocabulary(q[0, 0], k[0, 0]).entropy)


def test_targets_on_a_device_are_never_read_back(monkeypatch):
    """A meta tensor has no values: a look at one raises."""

    def results(*args, targets, **arguments):
        shape = targets.shape
        return {
            "entropy": torch.empty(3, device="meta"), "lse": torch.empty(3, device="meta"),
            "top_ids": torch.empty(3, 5), "top_logprobs": torch.empty(3, 5),
            "target_logprob": torch.empty(shape, device="meta"),
            "target_rank": torch.empty(shape, dtype=torch.int32, device="meta"),
        }  # fmt: skip

    monkeypatch.setattr(registered, "choose", lambda *args: "triton")
    monkeypatch.setattr(triton_launch, "vocabulary", results)
    hidden, unembedding = torch.empty(3, 8, device="meta"), torch.empty(9, 8, device="meta")
    targets = torch.empty(3, 2, dtype=torch.int64, device="meta")
    got = registered.vocabulary(hidden, unembedding, None, targets, None, 1.0, None, 5, "triton")
    assert got[-1].shape == (3, 2)


def test_a_target_out_of_range_is_no_token_on_a_device(monkeypatch):
    targets = torch.tensor([[0, 9], [-1, 8]])
    monkeypatch.setattr(registered, "_is_here", lambda tensor: False)
    arguments = (normal(2, 8), normal(9, 8), None, targets, None, 1.0, None, 5, "portable")
    logprob, rank = registered.vocabulary(*arguments)[-2:]
    assert logprob.isnan().tolist() == [[False, True], [True, False]]
    assert (rank == -1).tolist() == logprob.isnan().tolist()

"""Every way to compute entropy here is right, or says why it is not timed."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attentropy.engine.bench import (
    attention,
    attention_rivals,
    measure,
    vocabulary,
    vocabulary_rivals,
)
from attentropy.engine.bench.case import AttentionCase, VocabularyCase
from attentropy.engine.bench.rival import Rival
from attentropy.engine.measure import fused_kernels as stock

CASE = AttentionCase(130, 4, 2, 16, True, "float32", "cpu")


WORDS = VocabularyCase(33, 24, 1001, "float32", "cpu")


HERE = [
    pytest.param(case, name, id=f"{name}-{case.what}")
    for case in (CASE, WORDS)
    for name, rival in measure.RIVALS[case.what].items()
    if rival.why_absent("cpu") is None
]


@pytest.mark.parametrize(("case", "name"), HERE)
def test_every_way_on_a_cpu_runs_and_is_right(case, name):
    measurement = measure.measure(name, case, 0.0)
    assert measurement["wrong"] == []
    assert measurement["errors"]
    assert len(measurement["times"]) >= 3
    assert min(measurement["times"]) > 0


@pytest.mark.parametrize("name", ["flash once, [V, K]", "eager", "attention_received"])
def test_ways_are_right_without_a_causal_mask(name):
    case = AttentionCase(65, 4, 2, 16, False, "float32", "cpu")
    assert measure.measure(name, case, 0.0)["wrong"] == []


@pytest.mark.parametrize(
    ("truth", "case", "name"),
    [
        (attention, CASE, "ours, every statistic"),
        (attention, CASE, "attention_received"),
        (attention, CASE, "attention_map, tile 128"),
        (vocabulary, WORDS, vocabulary_rivals.OURS),
        (vocabulary, WORDS, "product alone"),
    ],
)
def test_a_number_that_is_off_is_called_wrong(truth, case, name):
    inputs = truth.inputs(case)
    with torch.inference_mode():
        right = measure.RIVALS[case.what][name].prepare(*inputs, case)()
    judged = truth.errors(case, inputs, right)
    assert all(fine for _, fine in judged.values())
    for number in judged:
        for off in (1.01, float("nan")):
            if not right[number].is_floating_point():
                values = right[number].flip(-1)
            else:
                values = right[number] * off + 2e-3
            _, fine = truth.errors(case, inputs, right | {number: values})[number]
            assert not fine, number


def test_rows_are_sampled_at_both_ends_and_over_heads():
    heads, queries = zip(*attention.sampled_rows(CASE), strict=True)
    assert {0, 129} <= set(queries)
    assert set(heads) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", [attention_rivals.OURS, "attention_received"])
def test_ours_is_not_timed_where_it_is_wrong(name, monkeypatch):
    right = attention_rivals.RIVALS[name]

    def prepare(*inputs):
        outputs = right.prepare(*inputs)()
        return lambda: {key: v if key == "lse" else v + 1.0 for key, v in outputs.items()}

    monkeypatch.setitem(attention_rivals.RIVALS, name, Rival(right.group, prepare))
    measurement = measure.measure(name, CASE, 0.0)
    assert "times" not in measurement
    assert " is off by " in measurement["reason"]


def test_eager_says_what_it_needs_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(attention_rivals, "_free_bytes", lambda device: 10**5)
    with pytest.raises(MemoryError, match="GB for its weights"):
        measure.measure("eager", CASE, 0.0)


@pytest.mark.parametrize("name", ["flash", "cudnn"])
def test_the_gpu_kernels_of_pytorch_are_called_as_they_are_declared(name):
    with FakeTensorMode():
        q = torch.empty(1, 8, 128, 64, dtype=torch.bfloat16, device="cuda")
        k = torch.empty(1, 2, 128, 64, dtype=torch.bfloat16, device="cuda")
        out, lse = stock.FUSED_KERNELS[name].attend(q, k, k, True, 0.1)
        assert out.shape == q.shape
        assert lse.shape == (1, 8, 128)
        if stock.FUSED_KERNELS[name].wide:
            wide, _ = stock.FUSED_KERNELS[name].attend(q, k, torch.cat([k, k], -1), True, 0.1)
            assert wide.shape == (1, 8, 128, 128)


@pytest.mark.parametrize("way", ["twice, V := K", "once, [V, K]", "+ sweep"])
@pytest.mark.parametrize("version", ["2", "3"])
def test_flash_attention_packages_are_read_as_tokens_by_heads(way, version, monkeypatch):
    def flash_attn_func(q, k, v, softmax_scale, causal, return_attn_probs):
        assert return_attn_probs
        assert q.is_contiguous()
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        if version == "2" and v.shape[-1] != k.shape[-1]:
            raise RuntimeError("head sizes differ")
        k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
        s = q @ k.transpose(-1, -2) * softmax_scale
        if causal:
            s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
        return (s.softmax(-1) @ v).transpose(1, 2), s.logsumexp(-1), None

    module = stock.FUSED_KERNELS[f"flash-attn {version}"].module
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(flash_attn_func=flash_attn_func))
    inputs = attention.inputs(CASE)
    rival = attention_rivals.RIVALS[f"flash-attn {version} {way}"]
    outputs = rival.prepare(*inputs, CASE)()
    judged = attention.errors(CASE, inputs, outputs)
    assert set(judged) == {"out", "entropy"}
    assert all(fine for _, fine in judged.values())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_lse_that_entropy_needs(monkeypatch):
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setattr(stock, "_compiled_flex", lambda: flex_attention)
    case = AttentionCase(64, 4, 2, 16, False, "float32", "cpu")
    inputs = attention.inputs(case)
    with torch.inference_mode():
        outputs = attention_rivals.RIVALS["flex once, [V, K]"].prepare(*inputs, case)()
    assert all(fine for _, fine in attention.errors(case, inputs, outputs).values())

"""torch.compile sees through the operations, and PyTorch's own checks of custom operators pass."""

import subprocess
import sys

import pytest
import torch

from attentropy import attention, vocabulary
from close import inputs

CASES = {
    "plain": {},
    "statistics": {"stats": ("entropy", "max_prob", "top_key"), "window": 7, "softcap": 4.0},
    "sinks": {"stats": ("sink_prob",), "sinks": torch.zeros(4), "causal": False},
    "padding": {"key_starts": torch.tensor([3, 0]), "chunk": 8},
    "reference": {"impl": "reference", "slopes": torch.ones(4)},
}


def _values(results):  # torch.compile of PyTorch 2.11 does not see through vars
    every = {name: getattr(results, name) for name in type(results).__dataclass_fields__}
    return {name: value for name, value in every.items() if value is not None}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_compiled_call_is_one_graph_with_the_same_numbers(case):
    def run(q, k, v):
        results = attention(q * 2, k, v, **case)
        return _values(results)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for n in (23, 40, 41):  # from the second length on, sizes are symbolic
        q, k, v = inputs(n, n)
        wanted, got = run(q, k, v), compiled(q, k, v)
        assert wanted.keys() == got.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(got[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


@pytest.mark.parametrize("impl", [None, "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_operator_passes_pytorchs_own_checks(impl, dtype):
    q, k, v = (t.to(dtype) for t in inputs(9, 12, width=24))
    arguments = (None, None, torch.tensor([2, 0]), None, None, 0.2, None, True, 5, None, 3)
    torch.library.opcheck(
        torch.ops.attentropy.attention.default, (q, k, v, *arguments, "entropy,top_key", impl)
    )


def test_a_compiled_lens_is_one_graph_with_the_same_numbers():
    def run(hidden, weight, targets):
        results = vocabulary(hidden + 1, weight, targets=targets, final=hidden, top_k=3)
        return _values(results)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(90, 16, generator=random)
    for n in (5, 8, 9):
        hidden = torch.randn(n, 16, generator=random)
        targets = torch.arange(n)
        wanted, got = run(hidden, weight, targets), compiled(hidden, weight, targets)
        for name, value in wanted.items():
            torch.testing.assert_close(got[name], value, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("impl", [None, "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_lens_operator_passes_pytorchs_own_checks(impl, dtype):
    hidden, weight = torch.randn(6, 8, dtype=dtype), torch.randn(30, 8, dtype=dtype)
    targets = torch.arange(12).view(6, 2)
    for arguments in ((None, None, None), (weight[:, 0], targets, hidden + 1)):
        arguments = (hidden, weight, *arguments, 0.5, 3.0, 4, impl)
        torch.library.opcheck(torch.ops.attentropy.vocabulary.default, arguments)


def test_a_first_call_does_not_import_the_compiler():
    code = (
        "import sys, torch, attentropy; q = torch.zeros(1, 1, 2, 4);"
        "attentropy.attention(q, q, q); attentropy.vocabulary(q[0, 0], q[0, 0], top_k=1);"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""torch.compile sees through the operations, and PyTorch's own checks of custom operators pass."""

from itertools import product

import pytest
import torch

from attentropy import attention, vocabulary
from close import inputs
from grids import diagonal

CASES = {
    "plain": {},
    "statistics": {"stats": ("entropy", "max_prob", "top_key"), "window": 7, "softcap": 4.0},
    "sinks": {"stats": ("sink_prob",), "sinks": torch.zeros(4), "causal": False},
    "padding": {"key_starts": torch.tensor([3, 0]), "chunk": 8},
    "reference": {"impl": "reference", "slopes": torch.ones(4)},
}

OPERATORS = {"dtype": [torch.float32, torch.bfloat16, torch.float64], "impl": [None, "reference"]}
FAKES = ("test_schema", "test_faketensor")  # the cheap ones of PyTorch's checks
every_operator = pytest.mark.parametrize(
    ("dtype", "impl"), [*product(*OPERATORS.values())], ids=str
)


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


@diagonal(OPERATORS)
def test_the_operator_passes_pytorchs_own_checks(impl, dtype):
    _check_attention(impl, dtype)


@every_operator
def test_the_operators_results_have_the_types_of_its_fakes(impl, dtype):
    _check_attention(impl, dtype, test_utils=FAKES)


def _check_attention(impl, dtype, **tests):
    q, k, v = (t.to(dtype) for t in inputs(9, 12, width=24))
    arguments = (None, None, torch.tensor([2, 0]), None, None, 0.2, None, True, 5, None, 3)
    torch.library.opcheck(
        torch.ops.attentropy.attention.default,
        (q, k, v, *arguments, "entropy,top_key", impl),
        **tests,
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


@diagonal(OPERATORS)
def test_the_lens_operator_passes_pytorchs_own_checks(impl, dtype):
    _check_vocabulary(impl, dtype)


@every_operator
def test_the_lens_operators_results_have_the_types_of_its_fakes(impl, dtype):
    _check_vocabulary(impl, dtype, test_utils=FAKES)


def _check_vocabulary(impl, dtype, **tests):
    hidden, weight = torch.randn(6, 8, dtype=dtype), torch.randn(30, 8, dtype=dtype)
    targets = torch.arange(12).view(6, 2)
    for arguments in ((None, None, None), (weight[:, 0], targets, hidden + 1)):
        arguments = (hidden, weight, *arguments, 0.5, 3.0, 4, impl)
        torch.library.opcheck(torch.ops.attentropy.vocabulary.default, arguments, **tests)

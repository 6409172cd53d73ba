"""Arguments of the vocabulary that do not fit are refused, and so is triton without a GPU."""

import subprocess
import sys

import pytest
import torch
import triton

from attentropy import vocabulary
from attentropy.kernels.vocabulary import triton_launch
from vocabulary_cases import random_inputs


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"top_k": -1}, ValueError, "top_k"),
        ({"top_k": 91}, ValueError, "top_k"),
        ({"targets": torch.tensor([0, 0, 0, 90])}, ValueError, "target"),
        ({"targets": torch.zeros(3, dtype=torch.long)}, ValueError, "targets"),
        ({"targets": torch.zeros(4)}, TypeError, "ids"),
        ({"final": torch.zeros(3, 24)}, ValueError, "final"),
        ({"final": torch.zeros(8, 24)}, ValueError, "final"),
        ({"final": torch.zeros(0, 24)}, ValueError, "final"),
        ({"final": torch.zeros(2, 23)}, ValueError, "final"),
        ({"bias": torch.zeros(3)}, ValueError, "bias"),
        ({"softcap": 0.0}, ValueError, "softcap"),
        ({"top_k": 33, "impl": "triton"}, NotImplementedError, "over 32; use impl='portable'"),
        ({"final": torch.zeros(4, 24).half(), "impl": "triton"}, NotImplementedError, "types"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, error, words):
    hidden, weight, _ = random_inputs(4, 90)
    with pytest.raises(error, match=words) as caught:
        vocabulary(hidden, weight, **change)
    assert "\n" not in str(caught.value)


_NO_GPU = """
import torch
from attentropy import vocabulary
try:
    vocabulary(torch.zeros(2, 4), torch.zeros(9, 4), impl="triton")
except ValueError as error:
    print(error)
"""


def test_a_compiled_kernel_without_a_gpu_says_what_to_use(monkeypatch):
    compiled = triton.JITFunction(triton_launch.sweep.fn)
    monkeypatch.setattr(triton_launch, "sweep", compiled)
    with pytest.raises(ValueError, match="use impl='portable'"):
        vocabulary(torch.zeros(2, 4), torch.zeros(9, 4), impl="triton")


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_and_the_interpreter_triton_says_what_to_use(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    process = subprocess.run(
        [sys.executable, "-c", _NO_GPU], capture_output=True, text=True, check=True
    )
    assert "use impl='portable'" in process.stdout

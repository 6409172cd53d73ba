"""Every buffer of a vocabulary test starts as NaN; tests for missing devices are skipped."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _poisoned(request, poisoned):
    wanted = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if wanted.get("device") == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device: the kernel ran in Triton's interpreter alone")
    if wanted.get("impl") == "triton" and wanted["device"] == "cpu" and torch.cuda.is_available():
        pytest.skip("a GPU is here: the kernel is compiled, not interpreted")

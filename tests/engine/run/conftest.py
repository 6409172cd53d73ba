"""The undisturbed run of a tiny model, which interrupted ones are compared with."""

import pytest
import torch

from attentropy.engine import demo
from attentropy.engine.run.extract import extract
from interrupted import OPTIONS, SHORT_PROMPT
from tiny import save


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """Replace the embedded model by a tiny one: stopping does not depend on the model."""
    folder = save(tmp_path_factory.mktemp("model") / "tiny", num_hidden_layers=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "path", lambda: folder)
        yield folder


@pytest.fixture(scope="module")
def wanted(tmp_path_factory, tiny_model):
    """Yield the trace of the undisturbed run."""
    folder = tmp_path_factory.mktemp("wanted")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # like the interrupted runs: the last bits depend on the order of sums
    yield extract(prompt=SHORT_PROMPT, output=folder / "t.zarr", **OPTIONS)
    torch.set_num_threads(threads)

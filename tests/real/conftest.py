"""The real models, loaded once; without an index of packages the tests skip."""

import pytest
import torch

from real.models import MODELS, NoModelError, model_folder


@pytest.fixture(scope="session")
def folder_of():
    """Return a function that gives the folder of a model by its name, or skips the test."""
    reasons = {}

    def folder(name):
        if name not in reasons:
            try:
                model_folder(name)
                reasons[name] = ""
            except NoModelError as error:
                reasons[name] = f"no {name} here: {error}"
        if reasons[name]:
            pytest.skip(reasons[name])
        return model_folder(name)

    return folder


@pytest.fixture(scope="module")
def load(folder_of):
    """Return a function that loads a model by its name and type, once per module."""
    from transformers import AutoModelForCausalLM

    loaded = {}

    def load(name, dtype=torch.float32):
        if (name, dtype) not in loaded:
            loaded.clear()  # one at a time
            loaded[name, dtype] = AutoModelForCausalLM.from_pretrained(
                folder_of(name), dtype=dtype
            ).eval()
        return loaded[name, dtype]

    return load


@pytest.fixture(scope="module", params=list(MODELS))
def name(request):
    """Return the name of each model in turn."""
    return request.param

"""A model that is not all in this process is refused in one line, before a pass."""

import copy

import pytest
import torch
from torch import nn

from attentropy.engine.attention.supported import check_supported
from attentropy.engine.errors import AttentropyError
from attentropy.engine.record.record import record
from tiny import model

IDS = torch.arange(20, 32)[None]


def _refusal(subject):
    with pytest.raises(AttentropyError) as caught:
        record(subject).__enter__()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("missing", [0, 1, 2])
@pytest.mark.parametrize("how", ["identity", "meta", "none"])
def test_a_layer_of_another_pipeline_stage_is_refused(missing, how):
    subject = model()
    layers = subject.model.layers
    if how == "meta":
        layers[missing] = copy.deepcopy(layers[missing]).to("meta")
    else:
        layers[missing] = nn.Identity() if how == "identity" else None
    assert f"layer {missing} of LlamaForCausalLM is not in this process" in _refusal(subject)


def test_layers_that_were_cut_off_are_refused():
    subject = model()
    subject.model.layers = subject.model.layers[:2]
    assert "layer 2 of LlamaForCausalLM is not in this process" in _refusal(subject)


def test_layers_of_a_smaller_configuration_are_all_there():
    subject = model()
    subject.model.layers = subject.model.layers[:2]
    subject.config.num_hidden_layers = 2
    with record(subject) as recorder:
        subject(IDS)
    assert recorder.trace["layer"].tolist() == [0, 1]


def test_a_rank_of_a_tensor_parallel_model_is_refused():
    subject = model()
    subject._tp_size = 2
    assert "load it in one process" in _refusal(subject)
    subject._tp_size = 1
    check_supported(subject)


@pytest.fixture
def one_process(tmp_path):
    """Begin a process group of one."""
    import torch.distributed as dist

    if dist.is_initialized():
        pytest.skip("another test's process group is open")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.costly
def test_parameters_that_are_split_over_processes_are_refused(one_process):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    subject = model()
    check_supported(subject)
    mesh = init_device_mesh("cpu", (1,))
    parallelize_module(subject, mesh, {"model.layers.0.self_attn.q_proj": ColwiseParallel()})
    assert "tensor parallel" in _refusal(subject)

"""The devices of a model's parts: one, several, or none until a part is used.

`model.device` is the device of the first parameter. That says little about a model that accelerate
spread over several devices, and nothing ("meta") where the weights stay on a disk or in main memory
until they are used.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def input_device(model: Any) -> torch.device:
    """Return the device that the input embeddings are computed on, where token ids must be."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:  # a whole of several models
        table = None
    weight = getattr(table, "weight", None)
    device = model.device if weight is None else weight.device
    if device.type != "meta":
        return torch.device(device)
    execution = None if table is None else _execution_device(table)
    return execution or torch.device("cpu")


def device_names(model: Any) -> list[str]:
    """Return the devices that compute, in the order of the model's parts: ["cuda:0", "cuda:1"]."""
    names: dict[str, None] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            device = parameter.device
            if device.type == "meta":
                device = _execution_device(module) or device
            names[str(device)] = None
    return list(names)


def fetch_parameter(module: nn.Module, name: str) -> Tensor | None:
    """Return a parameter of `module` with its values; None where it has no such parameter.

    Values that are kept elsewhere until they are used are copied.
    """
    value: Tensor | None = getattr(module, name, None)
    if value is None or value.device.type != "meta":
        return value
    from accelerate.utils import align_module_device

    with align_module_device(module):
        return getattr(module, name).detach().clone()  # type: ignore[no-any-return]


def device_of(module: nn.Module, otherwise: torch.device) -> torch.device:
    """Return the device that `module` computes on; `otherwise` where it has no parameters."""
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            if parameter.device.type != "meta":
                return parameter.device
            if (device := _execution_device(part)) is not None:
                return device
    return otherwise


def _execution_device(module: nn.Module) -> torch.device | None:
    """Return the device to which accelerate moves the weights of `module` when it runs."""
    device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return None if device is None else torch.device(device)


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that are free on `device` now; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None

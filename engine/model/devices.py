"""Where a model's parts are: on one device, on several, or kept elsewhere until they are used.

`model.device` is that of the first parameter, which says little of a model that accelerate spread
over several devices, and nothing ("meta") where it keeps the weights on a disk or in main memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def input_device(model: Any) -> torch.device:
    """Where token ids go: the device that the input embeddings are computed on."""
    table = model.get_input_embeddings()
    weight = getattr(table, "weight", None)
    here = model.device if weight is None else weight.device
    if here.type != "meta":
        return torch.device(here)
    return _computed_on(table) or torch.device("cpu")


def names(model: Any) -> list[str]:
    """The devices that compute, in the order of the model's parts: ["cuda:0", "cuda:1"]."""
    found: dict[str, None] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            here = parameter.device
            if here.type == "meta":
                here = _computed_on(module) or here
            found[str(here)] = None
    return list(found)


def fetched(module: nn.Module, name: str) -> Tensor | None:
    """A parameter of `module` with its values, copied where they are kept elsewhere until used;
    None where it has no such parameter."""
    value: Tensor | None = getattr(module, name, None)
    if value is None or value.device.type != "meta":
        return value
    from accelerate.utils import align_module_device

    with align_module_device(module):
        return getattr(module, name).detach().clone()  # type: ignore[no-any-return]


def home(module: nn.Module, otherwise: torch.device) -> torch.device:
    """The device that `module` computes on; `otherwise` where it has no parameter to tell."""
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            if parameter.device.type != "meta":
                return parameter.device
            if (device := _computed_on(part)) is not None:
                return device
    return otherwise


def _computed_on(module: nn.Module) -> torch.device | None:
    """Where accelerate brings the weights of `module` when it runs."""
    device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
    return None if device is None else torch.device(device)


def available(device: torch.device) -> int | None:
    """Bytes that a run could take on `device` now; None where the system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None

"""Device values copied into main memory: the one module of the trace that uses torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from attentropy.engine.trace.types import Array, Values

if TYPE_CHECKING:
    from torch import Tensor
    from torch.cuda import Event


@dataclass(frozen=True)
class HostCopy:
    """Values in main memory; a copy from a GPU is complete once `ready` has happened."""

    values: Values
    ready: Event | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return int(self.values.nbytes)

    def array(self) -> Array:
        """Wait for the copy to be complete and return the values."""
        if self.ready is not None:
            self.ready.synchronize()
        return self.values if isinstance(self.values, np.ndarray) else self.values.numpy()


def host_array(values: Values) -> Array:
    """Return `values` as an array in main memory."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def start_copy(values: Values) -> HostCopy:
    """Start to copy `values` into main memory, without waiting for a GPU."""
    if isinstance(values, np.ndarray):
        return HostCopy(values)
    values = values.detach()
    return HostCopy(values.cpu()) if values.device.type != "cuda" else _start_cuda_copy(values)


def _start_cuda_copy(values: Tensor) -> HostCopy:
    """Queue the copy behind the work that computes `values`.

    The GPU continues meanwhile, and the memory of `values` is not reused by anything that is not
    queued behind the copy.
    """
    import torch

    with torch.cuda.device(values.device):
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        host.copy_(values, non_blocking=True)
        # A thread that waits for it sleeps.
        ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        ready.record()
    return HostCopy(host, ready)

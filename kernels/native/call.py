"""One call of the C code: tensors as addresses and strides, and the results."""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.common.statistics import is_integer

_BLOCK = 128  # queries in a block, the most
_FEWEST = 32  # and the fewest, where there are so many
_PIECES = 4  # of work per thread

_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}

_INT, _FLOAT, _POINTER = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p

# What a call can store per query, in the structure's order.
_COLUMNS = (
    "lse", "entropy", "max_prob", "varentropy", "distance", "sink_mass", "sink_prob", "max_logit",
    "top_key",
)  # fmt: skip


class _Rows(ctypes.Structure):
    """A tensor [batch, heads, rows, size] whose last stride is 1."""

    _fields_ = (("data", _POINTER), ("batch", _INT), ("head", _INT), ("row", _INT))


class _Call(ctypes.Structure):
    """The structure Call of attention.c, field by field."""

    _fields_ = (
        *((name, _POINTER) for name in ("product", "fork")),
        *((name, _INT) for name in (
            "threads", "type", "batches", "heads", "group", "queries", "keys", "dim", "width",
            "offset", "block",
        )),
        *((name, _FLOAT) for name in ("scale", "softcap")),
        *((name, _Rows) for name in ("q", "k", "v", "out")),
        *((name, _POINTER) for name in (
            "slopes", "sinks", "first", "stop", "segments", "own", "starts",
        )),
        *((name, _INT) for name in ("first_batch", "starts_batch")),
        *((name, _POINTER) for name in (*_COLUMNS, "tiles")),
        *((name, _INT) for name in (
            "tile_rows", "tile_keys", "mean", "entropies", "bins", "first_keys",
        )),
        ("spans", _POINTER),
        *((name, _INT) for name in ("next", "failed")),
    )  # fmt: skip


@dataclass(frozen=True)
class Native:
    """The compiled library, with the addresses of PyTorch's product and of its threads."""

    library: ctypes.CDLL
    product: int
    fork: int
    compiler: str

    @property
    def fits(self) -> bool:
        """Return whether the compiler laid out a call as this module does."""
        self.library.call_size.restype = _INT
        return bool(self.library.call_size() == ctypes.sizeof(_Call))


def attend(
    native: Native,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    score: Score,
    mask: Mask,
    sinks: Tensor | None,
    stats: tuple[str, ...],
) -> dict[str, Tensor]:
    """Return output [B, Hq, Nq, Dv], lse and `stats` [B, Hq, Nq], float32, the top key int32.

    Raises `MemoryError` where a thread gets no memory for its blocks.
    """
    batch, heads, queries, _ = q.shape
    out = torch.empty(batch, heads, queries, v.shape[-1], dtype=torch.float32)
    results = {
        name: torch.empty(
            batch, heads, queries, dtype=torch.int32 if is_integer(name) else torch.float32
        )
        for name in ("lse", *stats)
    }
    q, k, v = _as_rows(q, k, v)
    _run(
        native, q, k, score, _Region(mask, (0, mask.queries), (0, mask.keys)), v=_describe(v),
        out=_describe(out), width=v.shape[-1],
        sinks=None if sinks is None else sinks.float().contiguous(), **results,
    )  # fmt: skip
    return results | {"out": out}


def sum_tiles(
    native: Native,
    q: Tensor,
    k: Tensor,
    lse: Tensor,
    tile: tuple[int, int],
    *,
    score: Score,
    mask: Mask,
    rows: tuple[int, int] | None = None,
    cols: tuple[int, int] | None = None,
    latest: Tensor | None = None,
    mean: bool = False,
    entropies: bool = False,
) -> Tensor:
    """Return sums of exact weights, or of −p ln p, per tile [B, Hq or 1, Tq, Tk] float32.

    rows, cols: the queries and keys that the tiles cover, all by default. latest: the first key
    that counts for each query, [B or 1, Nq]. mean: the mean over heads. Raises `MemoryError` as
    `attend` does.
    """
    region = _Region(mask, rows or (0, mask.queries), cols or (0, mask.keys), latest)
    batch, heads = q.shape[:2]
    shape = (-(-region.queries // tile[0]), -(-region.keys // tile[1]))
    tiles = torch.zeros(batch, 1 if mean else heads, *shape, dtype=torch.float32)
    q, k = _as_rows(q[:, :, slice(*region.rows)], k[:, :, slice(*region.cols)])
    _run(
        native, q, k, score, region, lse=lse[:, :, slice(*region.rows)].float().contiguous(),
        tiles=tiles, tile_rows=tile[0], tile_keys=tile[1], mean=mean, entropies=entropies,
    )  # fmt: skip
    factor = (math.log(2) if entropies else 1.0) / (heads if mean else 1)
    return tiles if factor == 1 else tiles.mul_(factor)


def sum_distances(
    native: Native, q: Tensor, k: Tensor, lse: Tensor, first_keys: int, *, score: Score, mask: Mask
) -> Tensor:
    """Return Σ p_ij by the distance |i − j|, the first keys apart, [B, Hq, 1 + bins] float64.

    Raises `MemoryError` as `attend` does.
    """
    region = _Region(mask, (0, mask.queries), (0, mask.keys))
    bins, blocks = mask.distance_bins, -(-mask.queries // _BLOCK)
    sums = torch.zeros(*q.shape[:2], blocks, 1 + bins, dtype=torch.float32)
    q, k = _as_rows(q, k)
    _run(
        native, q, k, score, region, lse=lse.float().contiguous(), tiles=sums, tile_rows=_BLOCK,
        tile_keys=max(1, mask.keys), bins=bins, first_keys=first_keys,
    )  # fmt: skip
    return sums.double().sum(2)


class _Region:
    """The queries `rows` and keys `cols` (start, stop) of a call, and which of them see which."""

    def __init__(
        self, mask: Mask, rows: tuple[int, int], cols: tuple[int, int], latest: Tensor | None = None
    ) -> None:
        self.rows, self.cols = rows, cols
        self.queries, self.keys = rows[1] - rows[0], cols[1] - cols[0]
        device = torch.device("cpu")
        first, stop, is_whole = mask.bounds(device)
        if latest is not None:
            first, stop = torch.broadcast_tensors(torch.maximum(first, latest), stop)
        here = slice(*rows)
        self.first = (first[:, here] - cols[0]).clamp_min_(0).contiguous()
        self.stop = (stop[:, here] - cols[0]).clamp_max_(self.keys).contiguous()
        self.segments = self.own = None
        if not is_whole and mask.segments is not None:
            segments = mask.segments.to(device, torch.int64)
            self.own = mask.own_segments(segments)[:, here].contiguous()
            self.segments = segments[:, slice(*cols)].contiguous()
        self.starts = mask.starts(device).contiguous()
        self.offset = mask.query_offset + rows[0] - cols[0]


def _as_rows(*tensors: Tensor) -> list[Tensor]:
    """Return tensors of one type that the C code reads, whose rows each lie in one piece."""
    types = {tensor.dtype for tensor in tensors}
    if len(types) > 1 or not types <= _TYPES.keys():
        tensors = tuple(tensor.float() for tensor in tensors)
    return [
        x if x.stride(-1) == 1 and x.stride(2) >= x.shape[-1] else x.contiguous() for x in tensors
    ]


def _describe(x: Tensor) -> _Rows:
    return _Rows(x.data_ptr(), *x.stride()[:3])


def _run(
    native: Native,
    q: Tensor,
    k: Tensor,
    score: Score,
    region: _Region,
    **fields: object,
) -> None:
    """Fill a call's fields and run it; of a tensor, its address."""
    batch, heads, _, dim = q.shape
    threads = torch.get_num_threads()
    block = min(_BLOCK, max(1, region.queries))
    while block > _FEWEST and batch * heads * -(-region.queries // block) < _PIECES * threads:
        block //= 2
    slopes = None if score.slopes is None else score.slopes.float().contiguous()
    fields |= {
        "product": native.product, "fork": native.fork, "threads": threads,
        "type": _TYPES[q.dtype], "batches": batch, "heads": heads, "group": heads // k.shape[1],
        "queries": region.queries, "keys": region.keys, "dim": dim, "offset": region.offset,
        "block": block, "scale": score.scale, "softcap": score.softcap or 0.0, "q": _describe(q),
        "k": _describe(k), "slopes": slopes, "first": region.first, "stop": region.stop,
        "segments": region.segments, "own": region.own, "starts": region.starts,
        "first_batch": _step(region.first), "starts_batch": _step(region.starts),
    }  # fmt: skip
    call = _Call()
    for name, value in fields.items():
        setattr(call, name, value.data_ptr() if isinstance(value, Tensor) else value)
    if not native.library.run(ctypes.byref(call)):
        raise MemoryError("attention: no memory for the blocks of a thread")


def _step(x: Tensor) -> int:
    """Return the stride between batches, 0 where all share one."""
    return x.stride(0) if len(x) > 1 else 0

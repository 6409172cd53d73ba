"""The cells of the grid of all heads in a page: the heads' pictures, and what each head does."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TypedDict

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.head_roles import head_columns, head_roles
from attentropy.report.pack.encode import PackedArray, pack, pack_bytes
from attentropy.report.read.head_pictures import thumbnails_of


class PackedRoles(TypedDict):
    """What each head does, an index into the kinds, and its word's index into `words`; −1: none."""

    kinds: PackedArray
    words: list[str]
    word: PackedArray
    where: str


class HeadCells(TypedDict, total=False):
    """Roles and pictures, as far as the page has them."""

    roles: PackedRoles
    thumbnails: PackedArray


def pack_roles(trace: Trace) -> HeadCells | None:
    """Pack what each head does; None where the page has no grid of heads."""
    if not head_columns(trace):
        return None
    roles = head_roles(trace)
    words = sorted({word for row in roles.words for word in row if word})
    index = {word: i for i, word in enumerate(words)}
    numbers = [[index.get(word, -1) for word in row] for row in roles.words]
    packed: PackedRoles = {
        "kinds": pack(roles.kinds),
        "words": words,
        "word": pack(np.array(numbers)),
        "where": roles.where,
    }
    return {"roles": packed}


def thumbnail_ways(trace: Trace) -> Iterator[partial[HeadCells | None]]:
    """Yield ways to hold the pictures: all tiles, then several as one."""
    yield from (partial(pack_thumbnails, trace, pool) for pool in (1, 2, 4))


def pack_thumbnails(trace: Trace, pool: int) -> HeadCells | None:
    """Pack the heads' pictures, `pool` × `pool` tiles as one, which has their largest."""
    heads = head_columns(trace)
    pictures = thumbnails_of(trace, heads) if heads else None
    if pictures is None:
        return None
    for axis in (-2, -1):
        starts = np.arange(0, pictures.shape[axis], pool)
        pictures = np.maximum.reduceat(pictures, starts, axis)
    return {"thumbnails": pack_bytes(pictures)}

"""What the grid of all heads opens with: the sprite of their pictures, their frames and labels.

The page's script makes the same rows for the score and the order that the reader chooses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.figures.headgrid import GridSize, headgrid
from attentropy.report.figures.specification import Rows, VegaLite
from attentropy.report.findings.head_roles import KINDS, HeadRoles, head_roles
from attentropy.report.images import data_uri, png
from attentropy.report.palette import LIGHT, shades
from attentropy.report.read.head_pictures import thumbnails_of
from attentropy.report.read.maps import score_names
from attentropy.report.scale import SHARES, Scale

# Pixels of a still picture per pixel of the page, where it has few heads, and its shades otherwise.
_ZOOM, _FEW_HEADS, _FEW_SHADES = 2, 128, 12


def first_grid(trace: Trace, size: GridSize, rows: Sequence[str], entropies: Scale) -> VegaLite:
    """Return the specification as the page opens; `rows` are the labels of the layers.

    entropies: the scale of the score "entropy".
    """
    roles = head_roles(trace)
    names = score_names(trace)
    scores = np.full(roles.kinds.shape, np.nan)
    if names:
        scores = trace[f"head_{names[0]}"].astype(np.float64)
    pictures = thumbnails_of(trace, roles.heads)
    is_entropy = bool(names) and names[0].endswith("entropy")
    scale, palette = (entropies, "diverging") if is_entropy else (SHARES, "weight")
    grounds = scale.shade_at(scores)
    state = {"heads": size.heads, "layers": size.layers, **LIGHT}
    step = max(1, -(-len(rows) // max(1, int(size.height / 12))))
    columns = max(1, -(-size.heads // max(1, int(size.width / 24))))
    datasets = {
        "one": [{"o": 1}],
        "sprite": _sprite(size, pictures, grounds, scale.map_name(palette)),
        "picked": [],
        "pointed": [],
        **_cells(size, roles, scores, pictures),
        "layerlabels": [{"at": i + 0.5, "text": rows[i]} for i in range(0, len(rows), step)],
        "headlabels": [],
        "headtitle": [],
    }
    if size.has_axes:
        datasets["headlabels"] = [
            {"at": i + 0.5, "text": "mean" if roles.heads[i] < 0 else str(roles.heads[i])}
            for i in range(0, size.heads, columns)
        ]
        datasets["headtitle"] = [{"text": "head"}]
    return headgrid(size, state, datasets)


def _cells(
    size: GridSize, roles: HeadRoles, scores: np.ndarray, pictures: np.ndarray | None
) -> dict[str, Rows]:
    """Return frames, numbers and labels of the heads that have a picture or a score."""
    (wide, high), (across, down) = size.cell, size.picture
    frames: Rows = []
    numbers: Rows = []
    labels: Rows = []
    for l, c in np.ndindex(scores.shape):
        has_picture = pictures is not None and bool(pictures[l, c].any())
        if not has_picture and not np.isfinite(scores[l, c]):
            continue
        kind = KINDS[roles.kinds[l, c]]
        # Thin lines around small pictures would only blur them, and any hide what has no pixel.
        if size.text or (kind and wide >= 1):
            frames.append({
                "x0": c, "x1": c + across / wide, "y0": l + 1 - down / high, "y1": l + 1,
                "kind": kind,
            })  # fmt: skip
        if not size.text:
            continue
        x = c + (across + 4) / wide
        is_right = size.text == "right"
        if np.isfinite(scores[l, c]):
            y = l + 1 - (down / 2 - 7 if is_right else min(8, down / 2)) / high
            numbers.append({"x": x, "y": y, "text": f"{scores[l, c]:.2f}"})
        if kind:
            y = l + 1 - (down / 2 + 6 if is_right else down + 7) / high
            text = shorten(roles.label(l, c), size.letters)
            labels.append({"x": x if is_right else c, "y": y, "text": text, "kind": kind})
    return {"frames": frames, "numbers": numbers, "labels": labels}


def shorten(text: str, letters: int) -> str:
    """Return a text of at most so many letters, its end replaced by "…"."""
    return text if len(text) <= letters else f"{text[: max(1, letters - 1)]}…"


def spread_pixels(tiles: int, pixels: int) -> np.ndarray:
    """Return the first of the tiles that each pixel covers, [pixels]."""
    return np.arange(pixels) * tiles // pixels


def resize(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return pictures [.., tiles, tiles] in rows × columns pixels.

    A pixel that covers several tiles has the largest, so that a diagonal one tile wide stays whole.
    """
    for axis, pixels in ((-2, rows), (-1, columns)):
        starts = spread_pixels(values.shape[axis], pixels)
        if pixels >= values.shape[axis]:
            values = values.take(starts, axis)
        else:
            values = np.maximum.reduceat(values, starts, axis)
    return values


def _sprite(size: GridSize, pictures: np.ndarray | None, grounds: np.ndarray, palette: str) -> Rows:
    """Return all pictures as one, in the colours of a light page."""
    has_few = size.layers * size.heads <= _FEW_HEADS
    zoom = _ZOOM if has_few and not size.has_axes else 1
    high, wide = round(size.height * zoom), round(size.width * zoom)
    rows, columns = (max(1, round(side * zoom)) for side in size.picture[::-1])
    shown = np.full((high, wide), np.nan)
    is_drawn = np.zeros((high, wide), bool)
    name = palette
    if pictures is not None:
        name = "weight"
        grounds = np.where(pictures.any((-1, -2)), 0.0, np.nan)
        pictures = resize(pictures, rows, columns) / 255
        if not has_few:
            pictures = np.rint(pictures * _FEW_SHADES) / _FEW_SHADES
    for l, c in np.argwhere(np.isfinite(grounds)):
        top = round((size.layers - 1 - l) * size.cell[1] * zoom)
        left = round(c * size.cell[0] * zoom)
        box = np.s_[top : top + rows, left : left + columns]
        own = grounds[l, c] if pictures is None else pictures[l, c]
        shown[box] = own if np.ndim(own) == 0 else own[: high - top, : wide - left]
        is_drawn[box] = True
    numbers, table = shades(shown, 0, 1, name, ~is_drawn)
    image = data_uri(png(numbers, table))
    return [{"x0": 0, "x1": size.heads, "y0": 0, "y1": size.layers, "url": image}]

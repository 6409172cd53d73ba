"""The lens of every layer's residual, and the rehearsal of the answer, as the trace's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from attentropy.engine.assemble import text_array
from attentropy.engine.lens import Lens
from attentropy.engine.models import LoadedModel
from attentropy.engine.prompts import Prompt
from attentropy.engine.rehearsal import rehearse
from attentropy.engine.tokens import vocabulary_text

# Residuals in which the answer is looked for: the template's positions and the tail.
_REHEARSED_POSITIONS = 1024


def with_lens(
    data: xr.Dataset,
    loaded: LoadedModel,
    lens: Lens,
    residuals: Sequence[Tensor],
    answer: list[tuple[int, float]],
    text: Prompt,
    top_k: int,
    tell: Callable[[str, int, int], None],
) -> xr.Dataset:
    """`data` with the residual site's lens; `residuals` are [N, d], a layer's first call each.

    answer: (id, ln P) of each generated token. `tell` hears of progress, layer by layer.
    """
    n, layers = len(text.ids), len(residuals)
    predicted = lens.read(residuals[-1], top_k=1).top_ids[:, 0]
    found = []
    for layer, residual in enumerate(residuals):
        tell("reading the lens", layer, layers)
        found.append(lens.read(residual, top_k=top_k, targets=predicted))
    tell("reading the lens", layers, layers)

    kept = _rehearsed_positions(text.roles)
    content = data["generated_content"].values.astype(bool)
    rehearsed = rehearse(
        lens,
        [residual[kept] for residual in residuals],
        kept,
        n,
        [token for (token, _), is_content in zip(answer, content, strict=True) if is_content],
        _own_tokens(text, predicted.tolist()),
    )
    values = {
        "lens_entropy": _stacked([f.entropy for f in found]),
        "lens_top_ids": _stacked([f.top_ids for f in found]),
        "lens_top_logprobs": _stacked([f.top_logprobs for f in found]),
        "lens_target_logprob": _stacked([f.target_logprob for f in found]),
        "lens_rank": _stacked([f.target_rank for f in found]),
        "rehearsal": rehearsed.logprob,
        "rehearsal_ids": rehearsed.ids,
        "rehearsal_rank": rehearsed.rank,
    }
    first_calls = data["call"].values == 0
    entry_of = np.flatnonzero(first_calls)[:layers]
    arrays: dict[str, Any] = {
        "target_ids": (("position",), predicted.cpu().numpy().astype(np.int32))
    }
    for name, value in values.items():
        value = value if value.dtype == np.int32 else value.astype(np.float32)
        blank = -1 if value.dtype == np.int32 else np.nan
        spread = np.full((1, data.sizes["layer"], *value.shape[1:]), blank, value.dtype)
        spread[0, entry_of] = value
        dims = ("site", "layer", "position", "k")[: spread.ndim]
        arrays[name] = (dims, spread)
    named = np.unique(
        np.concatenate(
            [values["lens_top_ids"].ravel(), predicted.cpu().numpy(), rehearsed.ids.ravel()]
        )
    )
    named = named[named >= 0].astype(np.int32)
    coords = {
        "site": ("site", text_array(["residual"])),
        "vocabulary_ids": ("vocabulary", named),
        "vocabulary_text": ("vocabulary", text_array(vocabulary_text(loaded.tokenizer, named))),
    }
    return data.assign(arrays).assign_coords(coords)


def _own_tokens(text: Prompt, predicted: Sequence[int]) -> list[int]:
    """The token that each position is itself to say next, which is no rehearsal there.

    Within the template that is the template's own next token: what the lens reads there instead is
    said by nobody (chat models are trained on the answers, not on their template).
    """
    tokens = list(predicted)
    for i in range(len(tokens) - 1):
        if text.roles[i] != "content":
            tokens[i] = text.ids[i + 1]
    return tokens


def _rehearsed_positions(roles: Sequence[str]) -> list[int]:
    """Template positions and the tail, latest first, up to the bound; ascending."""
    n = len(roles)
    template = [i for i, role in enumerate(roles) if role in ("template", "bos", "eos")]
    tail = range(n - 1, -1, -1)
    chosen = list(dict.fromkeys([*reversed(template), *tail]))[:_REHEARSED_POSITIONS]
    return sorted(chosen)


def _stacked(parts: Sequence[Tensor | None]) -> np.ndarray:
    """One array per layer to [layers, ...], integers as int32."""
    values = np.stack([part.cpu().numpy() for part in parts if part is not None])
    return values.astype(np.int32) if values.dtype.kind == "i" else values

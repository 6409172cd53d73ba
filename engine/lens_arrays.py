"""The lens of every site, layer and position that was read, and the rehearsal of the answer, as the
trace's arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from attentropy.engine.assemble import text_array
from attentropy.engine.lens_plan import REHEARSED_POSITIONS, tail_first
from attentropy.engine.models import LoadedModel
from attentropy.engine.prompts import Prompt
from attentropy.engine.reading import FINAL, Reading
from attentropy.engine.rehearsal import rehearse
from attentropy.engine.tokens import vocabulary_text

# Variable of the trace -> field of the lens's result.
_FIELDS = {
    "lens_entropy": "entropy",
    "lens_kl": "kl",
    "lens_top_ids": "top_ids",
    "lens_top_logprobs": "top_logprobs",
    "lens_target_logprob": "target_logprob",
    "lens_rank": "target_rank",
}
_REHEARSAL = {"rehearsal": "logprob", "rehearsal_ids": "ids", "rehearsal_rank": "rank"}
_INTEGERS = ("lens_top_ids", "lens_rank", "rehearsal_ids", "rehearsal_rank")


def with_lens(
    data: xr.Dataset,
    loaded: LoadedModel,
    reading: Reading,
    states: Mapping[str, Sequence[Tensor | None]],
    answer: list[tuple[int, float]],
    text: Prompt,
    top_k: int,
    tell: Callable[[str, int, int], None],
) -> xr.Dataset:
    """`data` with the lens of `states`, [n, d] by site and layer at the positions of `reading`.

    answer: (id, ln P) of each generated token. What was not read is NaN, or -1 in integers; a
    layer that calls attention several times has its lens beside its first call. `tell` hears of
    progress, layer by layer.
    """
    n, sites, lens = len(text.ids), reading.sites, reading.lens
    at = np.array(reading.positions)
    final = states[FINAL][-1]
    assert final is not None
    predicted = lens.read(final, top_k=1).top_ids[:, 0]
    target_ids = np.full(n, -1, np.int32)
    target_ids[at] = predicted.cpu().numpy()
    own = _own_tokens(text, target_ids.tolist())
    content = data["generated_content"].values.astype(bool)
    said = [token for (token, _), is_content in zip(answer, content, strict=True) if is_content]
    looked_at = sorted(set(tail_first(text.roles, REHEARSED_POSITIONS)) & set(reading.positions))
    rows = np.searchsorted(at, looked_at)

    entries = np.flatnonzero(data["call"].values == 0)
    values = {
        name: np.full(
            (len(sites), data.sizes["layer"], n, *((top_k,) if "_top_" in name else ())),
            *((-1, np.int32) if name in _INTEGERS else (np.nan, np.float32)),
        )
        for name in (*_FIELDS, *_REHEARSAL)
    }
    done, total = 0, len(sites) * len(reading.layers)
    for s, site in enumerate(sites):
        read = [layer for layer in reading.layers if states[site][layer] is not None]
        parts = [part for layer in read if (part := states[site][layer]) is not None]
        for layer, part in zip(read, parts, strict=True):
            tell("reading the lens", done, total)
            done += 1
            found = lens.read(part, top_k=top_k, targets=predicted, final=final)
            for name, attribute in _FIELDS.items():
                values[name][s, entries[layer], at] = getattr(found, attribute).cpu().numpy()
        rehearsed = rehearse(lens, [part[rows] for part in parts], looked_at, n, said, own)
        for name, attribute in _REHEARSAL.items():
            values[name][s, entries[read]] = getattr(rehearsed, attribute)
    tell("reading the lens", total, total)

    dims = ("site", "layer", "position", "k")
    arrays: dict[str, Any] = {name: (dims[: array.ndim], array) for name, array in values.items()}
    arrays["target_ids"] = (("position",), target_ids)
    named = np.unique(
        np.concatenate(
            [values["lens_top_ids"].ravel(), target_ids, values["rehearsal_ids"].ravel()]
        )
    )
    named = named[named >= 0]
    coords = {
        "site": ("site", text_array(sites)),
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

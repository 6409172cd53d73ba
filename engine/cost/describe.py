"""What a model's configuration says of it, and what a run over a prompt would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from attentropy.engine.cost.size import model_size
from attentropy.engine.model import source as origin
from attentropy.engine.model.config import config_facts, read_config


def describe(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    tokens: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What a model's configuration says of it; no weights are loaded, none need be there.

    With `tokens`, also what a run over a prompt of that length takes: the lens of one site
    (`lens_facts`), and what `prediction.predicted` says of `options`, which are those of
    `prediction.Options`: bytes of memory and of the trace, and seconds from a short measurement.
    """
    source, name = origin.source(model, weights=False)
    with origin.one_line(name, source):
        folder, _ = origin.files(source, name, revision, weights=False)
        config = read_config(folder, name)
        facts = {"name": name, "revision": revision} | config_facts(config)
        if tokens is None:
            return facts
        from attentropy.engine.cost.predict import Options, predicted

        where = origin.device(None)
        dtype = origin.dtype(None, config, where)
        found = predicted(config, tokens, Options(**options), where, dtype)
        return facts | {"lens": lens_facts(config, tokens)} | found


def lens_facts(config: Any, tokens: int) -> dict[str, Any]:
    """The residual lens's cost on `tokens` positions, by default and at every position: floating-
    point operations over the model's own (2 × parameters × tokens, all experts counted), and bytes
    of the states kept for it. Each further site costs as much again.

    The parameters are counted on a model without weights.
    """
    own = getattr(config.get_text_config(), "dtype", None) or torch.float32
    size = model_size(config).lens(own.itemsize, sites=1)

    def costs(positions: int) -> dict[str, Any]:
        cost = size.cost(positions, tokens)
        return {
            "positions": positions,
            "flops": cost.flops,
            "of_the_forward_pass": round(cost.flops / cost.forward_flops, 3),
            "kept_bytes": int(cost.kept_bytes),
        }

    return {
        "tokens": tokens,
        "dtype": str(own).removeprefix("torch."),
        "parameters": size.parameters,
        "forward_flops": size.cost(0, tokens).forward_flops,
        "by default": costs(size.budget(tokens)),
        "at every position": costs(tokens),
    }

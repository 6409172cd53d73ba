"""Fit a translator: per layer a ridge regression from the residual to what the head reads."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attentropy.engine.arguments import read_bytes, read_count, read_torch_name
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.errors import AttentropyError, LensRefused, UsageError
from attentropy.engine.keeping import on_failure
from attentropy.engine.lens.head import find_lens
from attentropy.engine.lens.lens import Lens
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.devices import input_device
from attentropy.engine.model.inner import inner_model
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.model.load import LoadedModel, load, wrap_loaded
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.model.sandbox import one_child
from attentropy.engine.model.weights import weights_sha256
from attentropy.engine.output.place import reserve
from attentropy.engine.translator.file import write_translator
from attentropy.engine.translator.held_out import Closeness, FinalOutput
from attentropy.engine.translator.passes import LayerRows, held_out_rows, read_layers
from attentropy.engine.translator.ridge import RidgeSums
from attentropy.engine.translator.translator import (
    AffineMap,
    Translator,
    head_sha256,
    translated,
)
from attentropy.engine.translator.windows import (
    FEW_TOKENS,
    FewTokensWarning,
    Source,
    Windows,
    few_tokens,
    read_windows,
)

PENALTIES = (0.01, 0.1, 1.0)
MEMORY = 2**30  # bytes of the Gram matrices that are there at once, by default

# Called with a stage, the steps done, and the steps in all.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class LayerFit:
    """How close one layer's lens is to the model's output on held-out rows, before and after.

    kl in nats. agreement: the share of rows with the model's top token. penalty: of the ridge
    regression.
    """

    layer: int
    kl_before: float
    kl: float
    agreement_before: float
    agreement: float
    penalty: float


def fit_lens(
    model: str | Path | nn.Module | None,
    text: Source | Sequence[Source],
    output: str | Path,
    *,
    tokenizer: Any = None,
    tokens: int = 8000,
    revision: str | None = None,
    dtype: Any = None,
    device: Any = None,
    memory: int | str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Translator:
    """Fit a lens that can be read at each layer, write it to `output`, and return it.

    Per layer one affine map leads from the residual over its root mean square to what the model's
    head reads (after the final norm): a ridge regression on windows of 256 tokens, without their
    first position. Every tenth window and the last are held out; some of their rows choose the
    penalty, others measure the result. Such a lens predicts the next token. It cannot show
    rehearsal.

    Args:
        model: A hub id, a local folder, or a transformers model that is loaded already (with its
            `tokenizer`); None for the embedded model.
        text: A text, the `pathlib.Path` of a text file, or a list of these. Text of the kind that
            the lens is to read is best.
        output: The file to write, NAME.lens.safetensors.
        tokenizer: The tokenizer of a loaded model.
        tokens: Number of tokens to read, in turn from each text; of fewer than 2,000 a
            `FewTokensWarning` says that more are advised.
        revision: Branch, tag or commit of a hub model.
        dtype: Weight dtype; by default the checkpoint's own (float32 on a CPU).
        device: "cpu", "cuda", "cuda:1" or a torch.device; by default CUDA if there is any.
        memory: Memory budget of the fit's matrices in bytes, or such as "2GiB"; by default 1 GiB.
            A layer takes 16 bytes × width². Where not all layers fit, the text is read several
            times.
        force: Overwrite an existing `output`.
        progress: Called as progress(stage, done, total).

    Returns:
        The translator, for `lens_translator` of `extract` and `record`. Its `facts` are texts:
        "table" has KL and agreement of each layer before and after, as JSON.

    Raises:
        UsageError: Fewer than 300 tokens of text, a text shorter than one window, an `output` that
            exists.
        AttentropyError: The model has no head that the lens can read, or its residuals are not
            finite.

    Examples:
        >>> from attentropy import extract, fit_lens
        >>> text = "The capital of France is Paris. " * 100
        >>> translator = fit_lens(None, text, "demo.lens.safetensors")  # doctest: +SKIP
        >>> trace = extract(lens_translator=translator)  # doctest: +SKIP
    """
    tokens = read_count(tokens, "tokens")
    budget = MEMORY if memory is None else read_bytes(memory, "memory")
    with reserve(Path(output), force=force):
        show = progress or (lambda stage, done, total: None)
        show("loading the model", 0, 1)
        placement = {
            "revision": revision, "dtype": read_torch_name(dtype),
            "device": read_torch_name(device),
        }  # fmt: skip
        loaded = _loaded(model, tokenizer, placement)
        positions = usable_positions(loaded.model)
        windows = read_windows(loaded.tokenizer, text, tokens, positions)
        if windows.tokens < FEW_TOKENS:
            warnings.warn(few_tokens(windows.tokens), FewTokensWarning, stacklevel=2)
        lens = _lens(loaded.model, windows)
        maps: dict[int, AffineMap] = {}
        table: list[LayerFit] = []
        for layer, own, fit in _fit(loaded.model, lens, windows, budget, show):
            maps[layer] = own
            table.append(fit)
        facts = _facts(loaded, lens, windows, table)
        layers = len(decoder_layers(loaded.model))
        write = partial(write_translator, maps=maps, kind="translator", layers=layers, facts=facts)
        then = "use it as `lens_translator={}`"
        with on_failure("the lens", write, Path(output), ".lens.safetensors", then):
            translator = write(output, force=force)
        show("done", 1, 1)
        return translator


def _loaded(model: Any, tokenizer: Any, placement: dict[str, str | None]) -> LoadedModel:
    if model is None or isinstance(model, (str, Path)):
        if tokenizer is not None:
            raise UsageError("`tokenizer` is only for a model that is already loaded")
        with one_child():
            return load(model, **placement)
    if names := [name for name, value in placement.items() if value is not None]:
        raise UsageError(f"`{names[0]}` does not apply to a model that is already loaded")
    return wrap_loaded(inner_model(model).model, tokenizer)


def _lens(model: Any, windows: Windows) -> Lens:
    """Return the model's plain lens. Raises `AttentropyError` where there is none to fit to."""
    ids = torch.tensor([[*windows.start, *windows.fit[0][:16]]], device=input_device(model))
    try:
        lens = find_lens(model, ids)
    except LensRefused as error:
        raise AttentropyError(f"no lens can be fitted: {error}") from error
    if len(decoder_layers(model)) < 2:
        raise AttentropyError("no lens can be fitted: the model's only layer is read as it is")
    try:
        is_causal = check_model(model).is_causal
    except AttentropyError:  # its attention cannot be recorded, but its lens can be read
        is_causal = True
    if not is_causal:
        raise AttentropyError(
            f"no lens can be fitted: {type(model).__name__} does not predict next tokens"
        )
    return lens


def _fit(
    model: Any, lens: Lens, windows: Windows, budget: int, show: Progress
) -> Iterator[tuple[int, AffineMap, LayerFit]]:
    """Yield each layer but the last with its map, and how close it is."""
    layers = range(len(decoder_layers(model)) - 1)
    size = max(1, budget // RidgeSums.nbytes(lens.weight.shape[1]))
    count = len(windows.fit) + len(windows.held_out)
    groups = [layers[first : first + size] for first in range(0, len(layers), size)]
    outputs: tuple[FinalOutput, FinalOutput] | None = None
    for number, group in enumerate(groups):
        before = number * count

        def show_window(done: int, before: int = before) -> None:
            show("reading the text", before + done, len(groups) * count)

        rows = read_layers(model, lens, windows, group, show_window)
        if outputs is None:
            choice, table = (lens.normed(own[-1]) for own in (rows.choice, rows.table))
            outputs = FinalOutput(lens, choice), FinalOutput(lens, table)
        for layer in group:
            show("fitting the layers", layer, len(layers))
            yield _fit_layer(lens, rows, layer, *outputs)


def _fit_layer(
    lens: Lens, rows: LayerRows, layer: int, choice: FinalOutput, table: FinalOutput
) -> tuple[int, AffineMap, LayerFit]:
    """Return one layer's map with the penalty that is best at the rows of `choice`."""
    sums = rows.sums.pop(layer)
    best: tuple[Closeness, float, AffineMap] | None = None
    for penalty in PENALTIES:
        own = sums.solve(penalty)
        lens_here = translated(lens, "translator", own)
        closeness = choice.closeness(lens_here.head_input(rows.choice[layer]))
        if best is None or closeness.kl < best[0].kl:
            best = closeness, penalty, own
    assert best is not None
    _, penalty, own = best
    plain = table.closeness(lens.normed(rows.table[layer]))
    lens_here = translated(lens, "translator", own)
    after = table.closeness(lens_here.head_input(rows.table[layer]))
    fit = LayerFit(layer, plain.kl, after.kl, plain.agreement, after.agreement, penalty)
    return layer, own.cpu(), fit


def _facts(
    loaded: LoadedModel, lens: Lens, windows: Windows, table: Sequence[LayerFit]
) -> dict[str, str]:
    """Return the file's metadata: what it was fitted to, and how well."""
    model = loaded.model
    config = json.dumps(config_facts(model.config), sort_keys=True)
    rounded = [{name: round(value, 4) for name, value in asdict(one).items()} for one in table]
    return {
        "model": loaded.name,
        "revision": loaded.revision or "",
        "dtype": str(model.dtype).removeprefix("torch."),
        "model_sha256": weights_sha256(model),
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "head_sha256": head_sha256(lens),
        "text_sha256": windows.sha256,
        "tokens": str(windows.tokens),
        "held_out": str(len(held_out_rows(windows)[1])),
        "table": json.dumps(rounded),
    }

"""Loading a language model safely.

A model from a stranger is data: only safetensors are read, none of its code runs, and no attention
kernel that its configuration names is downloaded.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from attentropy.engine.arguments import either
from attentropy.engine.errors import AttentropyError, UsageError, install_command
from attentropy.engine.model import gguf
from attentropy.engine.model import source as origin
from attentropy.engine.model.checkpoint import open_checkpoint
from attentropy.engine.model.classes import empty_model, model_class
from attentropy.engine.model.devices import free_bytes
from attentropy.engine.trace.text import count

_BITS: dict[str, dict[str, Any]] = {
    "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "8bit": {"load_in_8bit": True},
}


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer, and notes for the reader of a report."""

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    notes: tuple[str, ...] = ()
    quantization: str | None = None  # of the file that the weights were dequantized from


def load(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    quantize: str | None = None,
) -> LoadedModel:
    """Load the model of a hub id, a local folder or a GGUF file; the embedded model for None.

    dtype: float32, bfloat16, float16, or None for the checkpoint's own (float32 on a CPU).
    device: as in torch, "auto" for all there are (accelerate distributes the layers), or None for
    CUDA if available. quantize: 4bit or 8bit weights (bitsandbytes), None for neither.
    Raises `UsageError` for a source that cannot be a model and for a library that is not installed,
    `AttentropyError` where loading fails.
    """
    source, name = origin.resolve_source(model)
    torch_device = origin.resolve_device(None if device == "auto" else device)
    _check_installed(device, quantize)
    if quantize is not None and gguf.is_gguf(source):
        raise UsageError(f"the weights of {name!r} are dequantized; leave `quantize` out")
    with open_checkpoint(source, name, revision) as checkpoint:
        config, header = checkpoint.config, checkpoint.header
        weights_dtype = checkpoint.dtype(dtype, torch_device)
        placement = _placement(config, device, torch_device, quantize, weights_dtype)
        tokenizer = checkpoint.tokenizer()
        outcome: Any = model_class(config).from_pretrained(
            checkpoint.place,
            config=config,
            dtype=weights_dtype,
            output_loading_info=True,
            **checkpoint.options(),
            **placement,
        )
    ready, notes = _ready(outcome, config, name, None if placement else torch_device)
    if header is None:
        return LoadedModel(ready, tokenizer, name, checkpoint.commit, notes)
    _rename(name, ready.config, tokenizer)
    return LoadedModel(ready, tokenizer, name, None, (header.note, *notes), header.quantization)


def _rename(name: str, *configured: Any) -> None:
    """Name a model's parts after its GGUF file, not after the folder that was made for it."""
    for part in configured:
        part.name_or_path = name


def _ready(
    outcome: Any, config: Any, name: str, device: torch.device | None
) -> tuple[Any, tuple[str, ...]]:
    """Return the model of `from_pretrained`'s `outcome`, ready to run, and notes on its loading.

    device: where it goes; None where it was placed while it was loaded.
    """
    loaded, info = outcome
    notes = _loading_notes(info, config, name, type(loaded).__name__)
    return (loaded if device is None else loaded.to(device)).eval(), notes


def with_random_weights(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> LoadedModel:
    """Create a model of the same shape with random weights, as its family initialises them.

    They are created on the device and are the same each time. A configuration is enough;
    `tokenizer` is None where the source has none. Raises as `load` does, and `AttentropyError`
    where the weights are larger than the free memory.
    """
    if device == "auto":
        raise UsageError(
            'random weights can be created on one device only; leave `device="auto"` out'
        )
    source, name = origin.resolve_source(model, weights=False)
    torch_device = origin.resolve_device(device)
    with open_checkpoint(source, name, revision, weights=False) as checkpoint:
        config = checkpoint.config
        weights_dtype = checkpoint.dtype(dtype, torch_device)
        empty = empty_model(config)
        needed, free = empty.num_parameters() * weights_dtype.itemsize, free_bytes(torch_device)
        if free is not None and needed > free:
            raise AttentropyError(
                f"{name!r} with random weights takes {needed / 1e9:.1f} GB, but only "
                f"{free / 1e9:.1f} GB are free on {torch_device}; "
                'try `dtype="bfloat16"` or another `device`'
            )
        on_gpu = [torch_device] if torch_device.type == "cuda" else []
        with torch.random.fork_rng(on_gpu), torch_device:
            torch.manual_seed(0)
            randomized: Any = model_class(config).from_config(
                config, dtype=weights_dtype, trust_remote_code=False
            )
        tokenizer = checkpoint.tokenizer()
    if checkpoint.header is not None:
        _rename(name, randomized.config, tokenizer)
    notes = ("its weights are random",)
    return LoadedModel(randomized.eval(), tokenizer, name, checkpoint.commit, notes)


def wrap_loaded(model: Any, tokenizer: Any) -> LoadedModel:
    """Wrap a model that the caller has loaded, under the base name of its source.

    Raises `UsageError` where the tokenizer is missing or is not a tokenizer.
    """
    if tokenizer is None:
        raise UsageError("a model that is already loaded needs its `tokenizer`")
    check_tokenizer(tokenizer)
    return LoadedModel(model, tokenizer, *source_of(model))


def check_tokenizer(tokenizer: Any) -> None:
    """Raise `UsageError` where a value is not a tokenizer."""
    if not callable(tokenizer) or not hasattr(tokenizer, "get_vocab"):
        raise UsageError(
            f"`tokenizer` must be a transformers tokenizer, not {type(tokenizer).__name__}"
        )


def source_of(model: Any) -> tuple[str, str | None]:
    """Return the name of a loaded model, without its folder, and its commit."""
    source = str(getattr(model.config, "_name_or_path", "") or "")
    if source.count("/") > 1 or "\\" in source or Path(source).exists():  # a path, not a hub id
        source = Path(source).name
    commit = getattr(model.config, "_commit_hash", None)
    return source or type(model).__name__, commit


def _loading_notes(info: dict[str, Any], config: Any, name: str, loaded_as: str) -> tuple[str, ...]:
    """Return what differs between files and model; refuse a model whose weights are incomplete.

    loaded_as: the name of the model's class.
    """
    missing = sorted(info["missing_keys"])
    saved_as = next(iter(getattr(config, "architectures", None) or ()), loaded_as)
    if missing and saved_as != loaded_as:
        raise AttentropyError(
            f"{name!r} was saved as {saved_as}, without the head that predicts tokens; load it "
            "with transformers and record its attention with attentropy.record"
        )
    if missing:
        raise AttentropyError(
            f"{name!r}: its weights do not contain {count(len(missing), 'tensor')} that the model "
            f"needs, such as {missing[0]}"
        )
    notes = []
    if unused := sorted(info["unexpected_keys"]):
        notes.append(
            f"its weights contain {count(len(unused), 'tensor')} that the model does not use, such "
            f"as {unused[0]}"
        )
    if getattr(config, "auto_map", None):
        notes.append(
            "the model comes with its own code, which is never run; it was loaded as "
            f"transformers' {config.model_type}"
        )
    return tuple(notes)


def _check_installed(device: str | None, quantize: str | None) -> None:
    """Raise `UsageError` where a placement is unknown, or needs a library that is not here."""
    if quantize is not None and quantize not in _BITS:
        raise UsageError(f"`quantize` must be {either(list(_BITS))}, not {quantize!r}")
    needed = ["accelerate"] if device == "auto" or quantize is not None else []
    needed += ["bitsandbytes"] if quantize is not None else []
    option = '`device="auto"`' if quantize is None else f'`quantize="{quantize}"`'
    for library in needed:
        if find_spec(library) is None:
            raise UsageError(f"{option} needs {library}; run: {install_command('placement')}")


def _placement(
    config: Any,
    device: str | None,
    torch_device: torch.device,
    quantize: str | None,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """Return the options of `from_pretrained` for devices and bits; none for one plain device."""
    placement: dict[str, Any] = {}
    if device == "auto" or quantize is not None:
        placement["device_map"] = "auto" if device == "auto" else {"": str(torch_device)}
    if quantize is not None:
        from transformers import BitsAndBytesConfig

        if getattr(config, "quantization_config", None) is not None:
            raise UsageError("this checkpoint is already quantised; leave `quantize` out")
        # It warns about a cast in each 8-bit product, once per layer and call.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        placement["quantization_config"] = BitsAndBytesConfig(
            **_BITS[quantize], **({"bnb_4bit_compute_dtype": dtype} if quantize == "4bit" else {})
        )
    return placement

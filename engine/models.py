"""Load a causal language model safely, and say what it is.

A model from a stranger is data: safetensors only, no code of its own, no attention kernel that its
configuration names.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from attentropy.engine import demo
from attentropy.engine.checkpoint import (
    INDEX,
    TOKENIZER_FILES,
    WEIGHTS,
    check_files,
    has_tokenizer,
    stored,
    weight_files,
)
from attentropy.engine.configuration import config_facts, read_config
from attentropy.engine.cost import model_size
from attentropy.engine.errors import AttentropyError, UsageError

_BITS: dict[str, dict[str, Any]] = {
    "4bit": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
    "8bit": {"load_in_8bit": True},
}
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with its tokenizer, and what a reader should know of it."""

    model: Any
    tokenizer: Any
    name: str
    revision: str | None
    notes: tuple[str, ...] = ()


def load(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    quantize: str | None = None,
) -> LoadedModel:
    """The model of a hub id or a local folder; the embedded one for None.

    `dtype`: float32, bfloat16, float16, or None for the checkpoint's own (float32 on a CPU).
    `device`: as in torch, "auto" for all there are (accelerate shares the layers out), or None for
    CUDA where there is one. `quantize`: 4bit or 8bit weights (bitsandbytes), None for neither.
    Raises `UsageError` for a source that cannot be a model and for what is not installed,
    `AttentropyError` where loading fails.
    """
    import transformers

    source, name = _source(model)
    where = _device(None if device == "auto" else device)
    _check_installed(device, quantize)
    with _one_line(name, source):
        folder, commit = _files(source, name, revision)
        config = read_config(folder, name, stored(folder, name))
        chosen = _dtype(dtype, config, where)
        placed = _placement(config, device, where, quantize, chosen)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, revision=commit, trust_remote_code=False
        )
        found: Any = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            revision=commit,
            dtype=chosen,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **placed,
        )
    loaded, info = found
    notes = _loading_notes(info, config, name)
    loaded = loaded if placed else loaded.to(where)
    return LoadedModel(loaded.eval(), tokenizer, name, commit, notes)


def with_random_weights(
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> LoadedModel:
    """A model of the same shape whose weights are those that its family begins training with, made
    on the device and the same each time.

    The configuration is enough; `tokenizer` is None where there is none. Raises as `load` does, and
    `AttentropyError` where the weights are larger than the memory that is free.
    """
    import transformers

    from attentropy.engine.cost import available

    if device == "auto":
        raise UsageError("random weights are made on one device; leave --device auto out")
    source, name = _source(model, weights=False)
    where = _device(device)
    with _one_line(name, source):
        folder, commit = _files(source, name, revision, weights=False)
        config = read_config(folder, name)
        chosen = _dtype(dtype, config, where)
        with torch.device("meta"):
            empty: Any = transformers.AutoModelForCausalLM.from_config(
                config, trust_remote_code=False
            )
        needed, here = empty.num_parameters() * chosen.itemsize, available(where)
        if here is not None and needed > here:
            raise AttentropyError(
                f"{name!r} with random weights takes {needed / 1e9:.1f} GB, and {here / 1e9:.1f} "
                f"are free on {where}; --dtype bfloat16 or another device may have them"
            )
        on_gpu = [where] if where.type == "cuda" else []
        with torch.random.fork_rng(on_gpu), torch.device(where):
            torch.manual_seed(0)
            made: Any = transformers.AutoModelForCausalLM.from_config(
                config, dtype=chosen, trust_remote_code=False
            )
        tokenizer = None
        if has_tokenizer(folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                source, revision=commit, trust_remote_code=False
            )
    return LoadedModel(made.eval(), tokenizer, name, commit, ("its weights are random",))


def given(model: Any, tokenizer: Any) -> LoadedModel:
    """A model that the caller has loaded, under the base name of where it came from.

    Raises `UsageError` where the tokenizer is missing or is none.
    """
    if tokenizer is None:
        raise UsageError("a loaded model needs its tokenizer: extract(model, prompt, tokenizer=…)")
    if not callable(tokenizer) or not hasattr(tokenizer, "get_vocab"):
        raise UsageError(f"tokenizer: a {type(tokenizer).__name__} is no tokenizer of transformers")
    source = str(getattr(model.config, "_name_or_path", "") or "")
    if source.count("/") > 1 or "\\" in source or Path(source).exists():  # a place, and no hub id
        source = Path(source).name
    commit = getattr(model.config, "_commit_hash", None)
    return LoadedModel(model, tokenizer, source or type(model).__name__, commit)


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
    source, name = _source(model, weights=False)
    with _one_line(name, source):
        folder, _ = _files(source, name, revision, weights=False)
        config = read_config(folder, name)
        facts = {"name": name, "revision": revision} | config_facts(config)
        if tokens is None:
            return facts
        from attentropy.engine.prediction import Options, predicted

        where = _device(None)
        dtype = _dtype(None, config, where)
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


def _loading_notes(info: dict[str, Any], config: Any, name: str) -> tuple[str, ...]:
    """Refuse a model with random weights in it; say what else is not as the files have it."""
    if missing := sorted(info["missing_keys"]):
        raise AttentropyError(
            f"{name!r}: its weights lack {len(missing)} tensors of the model ({missing[0]})"
        )
    notes = []
    if unused := sorted(info["unexpected_keys"]):
        notes.append(
            f"{len(unused)} tensors of the weights have no place in the model ({unused[0]})"
        )
    if getattr(config, "auto_map", None):
        notes.append(
            "the model brings code of its own, which is never run: "
            f"it was read as transformers' {config.model_type}"
        )
    return tuple(notes)


def _files(
    source: str, name: str, revision: str | None, *, weights: bool = True
) -> tuple[Path, str | None]:
    """The folder with a model's files, fetched first if it is a hub's, and its commit there."""
    folder = Path(source)
    if folder.is_dir():
        return folder, revision
    from transformers.utils import cached_file

    config = cached_file(source, "config.json", revision=revision)
    if config is None:
        raise UsageError(f"{name!r} has no config.json: not a model")
    folder = Path(config).parent
    if not weights:
        return folder, folder.name
    for file in (WEIGHTS, INDEX, *TOKENIZER_FILES):
        cached_file(source, file, revision=revision, _raise_exceptions_for_missing_entries=False)
    for file in weight_files(folder, name):
        cached_file(source, file, revision=revision)
    check_files(folder, name)
    return folder, folder.name


def tokenizer_facts(tokenizer: Any) -> dict[str, Any]:
    """Kind of the tokenizer, and hashes by which two runs can be told apart."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items()), ensure_ascii=True)
    template = tokenizer.chat_template
    return {
        "type": type(tokenizer).__name__,
        "sha256": hashlib.sha256(vocabulary.encode()).hexdigest(),
        "chat_template_sha256": (
            hashlib.sha256(str(template).encode()).hexdigest() if template else None
        ),
    }


def _source(model: str | Path | None, *, weights: bool = True) -> tuple[str, str]:
    """Where transformers shall look, and the name to print: never a whole path.

    Without `weights` a folder with a configuration is enough.
    """
    if model is None:
        return str(demo.path()), demo.DEFAULT_NAME
    folder = Path(model).expanduser()
    if folder.is_dir():
        check_files(folder, folder.resolve().name, weights=weights)
        return str(folder), folder.resolve().name
    text = str(model)
    if folder.exists():
        raise UsageError(f"{folder.name!r} is a file; give a model folder or a hub id (org/name)")
    if folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or not text:
        raise UsageError(f"no model folder at {text!r}")
    return text, text


def _device(device: str | None) -> torch.device:
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"no device {device!r} on this machine; try --device cpu") from error
    return chosen


def _check_installed(device: str | None, quantize: str | None) -> None:
    """Raise `UsageError` where a placement is unknown, or needs a library that is not here."""
    if quantize is not None and quantize not in _BITS:
        raise UsageError(f"unknown quantisation {quantize!r}; one of {', '.join(_BITS)}")
    needed = ["accelerate"] if device == "auto" or quantize is not None else []
    needed += ["bitsandbytes"] if quantize is not None else []
    option = f"--quantize {quantize}" if quantize is not None else "--device auto"
    for library in needed:
        if find_spec(library) is None:
            raise UsageError(f"{option} needs {library}: pip install 'attentropy[placement]'")


def _placement(
    config: Any, device: str | None, where: torch.device, quantize: str | None, dtype: torch.dtype
) -> dict[str, Any]:
    """What `from_pretrained` is told of devices and bits; empty for a model on one device."""
    placed: dict[str, Any] = {}
    if device == "auto" or quantize is not None:
        placed["device_map"] = "auto" if device == "auto" else {"": str(where)}
    if quantize is not None:
        from transformers import BitsAndBytesConfig

        if getattr(config, "quantization_config", None) is not None:
            raise UsageError(f"this checkpoint is quantised already; leave out {quantize}")
        # Its 8-bit product says at every call that it casts, once for each layer.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        placed["quantization_config"] = BitsAndBytesConfig(
            **_BITS[quantize], **({"bnb_4bit_compute_dtype": dtype} if quantize == "4bit" else {})
        )
    return placed


def _dtype(dtype: str | None, config: Any, device: torch.device) -> torch.dtype:
    if dtype is not None:
        if dtype not in _DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; one of {', '.join(_DTYPES)}")
        return _DTYPES[dtype]
    own = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    if device.type == "cpu" or not isinstance(own, torch.dtype):
        return torch.float32
    return own


@contextlib.contextmanager
def _one_line(name: str, source: str) -> Iterator[None]:
    """Loading errors of the libraries as one line without `source`, their warnings held back."""
    import transformers

    chatty = [logging.getLogger(n) for n in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in chatty]
    for logger in chatty:
        logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except (AttentropyError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in the tokenizer's Rust is no Exception
        text = str(error)
        if "trust_remote_code" in text or "custom code" in text:
            raise AttentropyError(
                f"{name!r} needs code of its own to run, which attentropy never executes"
            ) from error
        reason = " ".join(text.replace(source, name).split())[:200] or type(error).__name__
        if "ignore_mismatched_sizes" in text:
            reason = "the sizes in its configuration are not those of its weights"
        if isinstance(error, OSError):
            raise AttentropyError(
                f"no model {name!r}: neither a folder here nor reachable on the hub ({reason})"
            ) from error
        raise AttentropyError(f"cannot load {name!r} ({reason})") from error
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)

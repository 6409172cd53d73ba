"""Where a model's files are, which device and dtype it takes, and a loader's errors in one line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from attentropy.engine import demo
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.files import INDEX, TOKENIZER_FILES, WEIGHTS, check_files, weight_files

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def source(model: str | Path | None, *, weights: bool = True) -> tuple[str, str]:
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


def files(
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


def device(device: str | None) -> torch.device:
    """The device of that name, CUDA or the CPU for None. Raises `UsageError` if there is none."""
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"no device {device!r} on this machine; try --device cpu") from error
    return chosen


def dtype(dtype: str | None, config: Any, device: torch.device) -> torch.dtype:
    """The dtype of that name; for None float32 on a CPU, and elsewhere the checkpoint's own."""
    if dtype is not None:
        if dtype not in _DTYPES:
            raise UsageError(f"unknown dtype {dtype!r}; one of {', '.join(_DTYPES)}")
        return _DTYPES[dtype]
    own = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    if device.type == "cpu" or not isinstance(own, torch.dtype):
        return torch.float32
    return own


@contextlib.contextmanager
def one_line(name: str, source: str) -> Iterator[None]:
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

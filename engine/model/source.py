"""A model's source: its files, the device and dtype to load it with, and errors in one line."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from attentropy.engine import demo
from attentropy.engine.arguments import either
from attentropy.engine.errors import AttentropyError, Terminated, UsageError
from attentropy.engine.model import hub
from attentropy.engine.model.files import (
    INDEX,
    TOKENIZER_FILES,
    WEIGHTS,
    check_files,
    list_weight_files,
)
from attentropy.engine.model.gguf import check_installed, is_gguf

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def resolve_source(model: str | Path | None, *, weights: bool = True) -> tuple[str, str]:
    """Return where transformers finds the model, and the name to print, never a complete path.

    The source of a GGUF file is its path.

    weights: False where a folder with a configuration is enough.
    Raises `UsageError` for what is no model folder, GGUF file or hub id.
    """
    if model is None:
        return str(demo.path()), demo.DEFAULT_NAME
    folder = Path(model).expanduser()
    if folder.is_dir():
        name = os.path.basename(os.path.realpath(folder))
        check_files(folder, name, weights=weights)
        return str(folder), name
    text = str(model)
    if is_gguf(folder):
        check_installed(folder.name)
        return str(folder), folder.name
    if folder.exists():
        raise UsageError(
            f"{folder.name!r} is a file; give a model folder, a .gguf file or a hub id (org/name)"
        )
    if folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or not text:
        raise UsageError(f"no model folder at {text!r}")
    return text, text


def locate_files(
    source: str, name: str, revision: str | None, *, weights: bool = True
) -> tuple[Path, str | None]:
    """Return the folder with a model's files, after downloading those of a hub, and its commit."""
    folder = Path(source)
    if folder.is_dir():
        return folder, revision
    from transformers.utils import cached_file

    config = cached_file(source, "config.json", revision=revision)
    if config is None:
        raise UsageError(f"{name!r} is not a model (it has no config.json)")
    folder = Path(config).parent
    if not weights:
        return folder, folder.name
    for file in (WEIGHTS, INDEX, *TOKENIZER_FILES):
        cached_file(source, file, revision=revision, _raise_exceptions_for_missing_entries=False)
    for file in list_weight_files(folder, name):
        cached_file(source, file, revision=revision)
    check_files(folder, name)
    return folder, folder.name


def resolve_device(device: str | None) -> torch.device:
    """Return the device of that name; for None CUDA, or the CPU where there is no CUDA.

    Raises `UsageError` if there is no such device.
    """
    try:
        resolved = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=resolved)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f'no device {device!r} on this machine; try `device="cpu"`') from error
    return resolved


def resolve_dtype(dtype: str | None, config: Any, device: torch.device) -> torch.dtype:
    """Return the dtype of that name; for None float32 on a CPU, else the checkpoint's own."""
    if dtype is not None:
        if dtype not in _DTYPES:
            raise UsageError(f"`dtype` must be {either(list(_DTYPES))}, not {dtype!r}")
        return _DTYPES[dtype]
    own = getattr(config.get_text_config(), "dtype", None) or getattr(config, "dtype", None)
    if device.type == "cpu" or not isinstance(own, torch.dtype):
        return torch.float32
    return own


@contextlib.contextmanager
def errors_in_one_line(name: str, source: str) -> Iterator[None]:
    """Turn a library's loading errors into one line without `source`, and silence its warnings."""
    import transformers
    from huggingface_hub import constants

    loggers = [logging.getLogger(n) for n in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    is_offline = constants.HF_HUB_OFFLINE
    try:
        with hub.offline_if_unreachable(source):
            yield
    except (AttentropyError, KeyboardInterrupt, SystemExit, Terminated):
        raise
    except BaseException as error:  # a panic in the tokenizer's Rust code is no Exception
        text = str(error)
        if "trust_remote_code" in text or "custom code" in text:
            raise AttentropyError(
                f"{name!r} needs its own code, which attentropy never runs"
            ) from error
        reason = " ".join(text.replace(source, name).split())[:200] or type(error).__name__
        if "ignore_mismatched_sizes" in text:
            reason = "the sizes in its configuration do not match its weights"
        if isinstance(error, OSError) and not Path(source).exists():
            raise AttentropyError(hub.explain(error, name, offline=is_offline)) from error
        raise AttentropyError(f"cannot load {name!r} ({reason})") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

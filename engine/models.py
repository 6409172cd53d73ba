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
from pathlib import Path
from typing import Any

import torch

from attentropy.engine import demo
from attentropy.engine.errors import AttentropyError, UsageError

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "tekken.json",
)
_QUANTIZATIONS = {"bitsandbytes", "fp8", "mxfp4"}
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
) -> LoadedModel:
    """The model of a hub id or a local folder; the embedded one for None.

    `dtype`: float32, bfloat16, float16, or None for the checkpoint's own (float32 on a CPU).
    `device`: as in torch, or None for CUDA where there is one. Raises `UsageError` for a source
    that cannot be a model, `AttentropyError` where loading fails.
    """
    import transformers

    source, name = _source(model)
    where = _device(device)
    with _one_line(name):
        config = _config(source, revision)
        chosen = _dtype(dtype, config, where)
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            source, revision=revision, trust_remote_code=False
        )
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            revision=revision,
            dtype=chosen,
            trust_remote_code=False,
            use_safetensors=True,
        )
    loaded = loaded.to(where) if not getattr(loaded, "hf_device_map", None) else loaded
    commit = getattr(loaded.config, "_commit_hash", None)
    return LoadedModel(loaded.eval(), tokenizer, name, commit or revision)


def describe(model: str | Path | None = None, *, revision: str | None = None) -> dict[str, Any]:
    """What a model's configuration says of it; no weights are loaded."""
    source, name = _source(model)
    with _one_line(name):
        config = _config(source, revision)
    return {"name": name, "revision": revision} | config_facts(config)


def config_facts(config: Any) -> dict[str, Any]:
    """Sizes of a model by its configuration; None where it does not say."""
    text = config.get_text_config()

    def fact(*names: str) -> Any:
        return next((v for n in names if (v := getattr(text, n, None)) is not None), None)

    heads = fact("num_attention_heads", "n_head")
    return {
        "type": str(config.model_type),
        "layers": fact("num_hidden_layers", "n_layer"),
        "heads": heads,
        "kv_heads": fact("num_key_value_heads") or heads,
        "hidden_size": fact("hidden_size", "n_embd"),
        "vocabulary": fact("vocab_size"),
        "positions": fact("max_position_embeddings", "n_positions"),
    }


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


def _source(model: str | Path | None) -> tuple[str, str]:
    """Where transformers shall look, and the name to print: never a whole path."""
    if model is None:
        return str(demo.path()), demo.DEFAULT_NAME
    folder = Path(model).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return str(folder), folder.resolve().name
    text = str(model)
    if folder.exists():
        raise UsageError(f"{folder.name!r} is a file; give a model folder or a hub id (org/name)")
    if folder.is_absolute() or text.startswith((".", "~")) or text.count("/") > 1 or not text:
        raise UsageError(f"no model folder at {text!r}")
    return text, text


def _check_folder(folder: Path) -> None:
    """Refuse what cannot be loaded safely, before transformers looks at it."""
    name = folder.resolve().name
    if (folder / "adapter_config.json").exists():
        raise UsageError(f"{name!r} is an adapter; merge it into its base model first")
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name!r} has no config.json: not a model folder")
    if not any(folder.glob("*.safetensors")):
        raise UsageError(
            f"{name!r} has no .safetensors weights; save them with "
            "model.save_pretrained(folder) (pickled weights are never read)"
        )
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise UsageError(f"{name!r} has no tokenizer; save one with tokenizer.save_pretrained")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            files = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise UsageError(f"{name!r} has a broken model.safetensors.index.json") from error
        for file in files:
            inside = isinstance(file, str) and Path(file).name == file
            if not inside or not file.endswith(".safetensors"):
                raise UsageError(f"{name!r}: its index names a file that is refused")


def _config(source: str, revision: str | None) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(
        source, revision=revision, trust_remote_code=False
    )
    quantization = getattr(config, "quantization_config", None)
    if quantization is not None:
        method = quantization.get("quant_method") if isinstance(quantization, dict) else None
        if method not in _QUANTIZATIONS:
            raise UsageError(f"quantisation {method!r} is not one that attentropy loads")
    # A configuration may name a kernel to download and run; the attention is ours to choose.
    config._attn_implementation = None
    return config


def _device(device: str | None) -> torch.device:
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"no device {device!r} on this machine; try --device cpu") from error
    return chosen


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
def _one_line(name: str) -> Iterator[None]:
    """Loading errors of the libraries as one line, their warnings held back."""
    import transformers

    chatty = [logging.getLogger(n) for n in ("transformers", "huggingface_hub")]
    levels = [logger.level for logger in chatty]
    for logger in chatty:
        logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    except AttentropyError:
        raise
    except Exception as error:
        text = str(error)
        if "trust_remote_code" in text or "custom code" in text:
            raise AttentropyError(
                f"{name!r} needs code of its own to run, which attentropy never executes"
            ) from error
        reason = next((line.strip() for line in text.splitlines() if line.strip()), "")
        reason = reason[:200] or type(error).__name__
        if isinstance(error, OSError):
            raise AttentropyError(
                f"no model {name!r}: neither a folder here nor reachable on the hub ({reason})"
            ) from error
        raise AttentropyError(f"cannot load {name!r} ({reason})") from error
    finally:
        for logger, level in zip(chatty, levels, strict=True):
            logger.setLevel(level)

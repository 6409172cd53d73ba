"""Comparison of `attentropy info MODEL --tokens N` with actual runs of random models.

python tests/benchmarks/prediction.py [ROUNDS] prints the table of prediction.md: for each model the
predicted and the measured peak of memory, without the imports, and the predicted and measured
seconds, with the range over the rounds, since other work on the machine changes both.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from attentropy.engine.cost.predict import describe

CHILD = """
import json, sys, time
import torch, transformers
import attentropy.engine.run.extract as engine

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

torch.set_num_threads(int(sys.argv[3]))
before, begun = resident("VmRSS"), time.perf_counter()
trace = engine.extract(sys.argv[1], open(sys.argv[2]).read(), device="cpu")
seconds = time.perf_counter() - begun
assert trace.prompt_tokens == int(sys.argv[4]), trace.prompt_tokens
print(json.dumps({"bytes": resident("VmHWM") - before, "seconds": seconds}))
"""


@dataclass(frozen=True)
class Subject:
    """A random model of a family, and the length of the prompt that it reads."""

    name: str
    kind: str
    tokens: int
    sizes: dict[str, Any]
    dtype: torch.dtype = torch.float32
    extra: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write the model, a tokenizer of whole words, and a `prompt.txt` of random words."""
        config = AutoConfig.for_model(
            self.kind, max_position_embeddings=8192, bos_token_id=0, eos_token_id=1,
            pad_token_id=1, **self.sizes, **self.extra,
        )  # fmt: skip
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).to(self.dtype).save_pretrained(folder)
        words = [f"w{i}" for i in range(config.vocab_size)]
        words[:2] = ["<s>", "</s>"]
        raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<s>"))
        raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=raw, unk_token="<s>", bos_token="<s>", eos_token="</s>"
        )
        tokenizer.save_pretrained(folder)
        ids = torch.randint(2, config.vocab_size, (self.tokens,)).tolist()
        (folder / "prompt.txt").write_text(" ".join(words[i] for i in ids))
        return folder


def sizes(
    d: int, ff: int, layers: int, heads: int, key_heads: int, vocabulary: int
) -> dict[str, Any]:
    """Return the sizes under the names that model configurations use."""
    return {
        "hidden_size": d, "intermediate_size": ff, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": key_heads, "vocab_size": vocabulary,
    }  # fmt: skip


SUBJECTS = (
    Subject("llama 56 M", "llama", 2048, sizes(512, 1408, 8, 8, 4, 32_000)),
    Subject("llama 27 M, tied", "llama", 1024, sizes(256, 1024, 12, 4, 2, 64_000),
            extra={"tie_word_embeddings": True}),
    Subject("llama 79 M, stored in bfloat16", "llama", 512, sizes(1024, 4096, 4, 16, 8, 8_000),
            torch.bfloat16),
    Subject("mixtral 60 M, 2 of 4 experts", "mixtral", 1024, sizes(512, 1024, 8, 8, 4, 8_000),
            extra={"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
)  # fmt: skip


def predicted(folder: Path, tokens: int) -> dict[str, float]:
    """Return the peak bytes and seconds that `info` predicts."""
    facts = describe(folder, tokens=tokens)
    return {"bytes": facts["memory"]["peak_bytes"], "seconds": facts["seconds"]["all"]}


def measured(folder: Path, tokens: int) -> dict[str, float]:
    """Return the peak bytes and seconds of an extraction in its own process."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), str(folder / "prompt.txt"),
         str(torch.get_num_threads()), str(tokens)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return dict(json.loads(done.stdout))


def main(rounds: int) -> None:
    """Print the table."""
    print(f"{torch.get_num_threads()} threads, {rounds} rounds\n")
    print(
        "| model | tokens | MB predicted | MB measured | ratio | s predicted | s measured | ratio |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for subject in SUBJECTS:
        with tempfile.TemporaryDirectory() as name:
            folder = subject.save(Path(name))
            runs = [
                (predicted(folder, subject.tokens), measured(folder, subject.tokens))
                for _ in range(rounds)
            ]
        cells = [subject.name, f"{subject.tokens:,}"]
        for what, unit, form in (("bytes", 1e6, ".0f"), ("seconds", 1.0, ".1f")):
            for side in (0, 1):
                values = [run[side][what] / unit for run in runs]
                cells.append(_range(values, form))
            cells.append(_range([run[0][what] / run[1][what] for run in runs], ".2f"))
        print(f"| {' | '.join(cells)} |", flush=True)


def _range(values: list[float], form: str) -> str:
    return " to ".join(dict.fromkeys(f"{value:{form}}" for value in (min(values), max(values))))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)

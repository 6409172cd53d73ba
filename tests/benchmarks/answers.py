"""Time a recorded answer against plain `generate`, and measure the memory that it takes.

The model has the embedded model's architecture with more positions, and random weights; nothing
ends its turn. Recording and `model.generate` take turns over the same prompt. The time of the
answer is that of a recorded run minus that of the same run without an answer, so that loading,
checking and reading the prompt are in neither.

    python tests/benchmarks/answers.py [--tokens 2000] [--rounds 3] [--memory] [--record]

`--record` compares `record()` around `generate` with plain `generate`, without and with the lens:
there every step is recorded by itself.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from attentropy import extract, record
from attentropy.engine import demo
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.model.load import load

POSITIONS = 8192
WAYS = {"greedy": {}, "sampled": {"temperature": 0.8, "top_p": 0.95, "seed": 1}}


def endless():
    """Return a model of the embedded architecture with more positions, and its tokenizer."""
    loaded = load(device="cpu")
    config = AutoConfig.from_pretrained(demo.path(), max_position_embeddings=POSITIONS)
    config.eos_token_id = None
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    model.generation_config.eos_token_id = None
    loaded.tokenizer.eos_token = None
    return model, loaded.tokenizer


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(tokens: int, rounds: int) -> None:
    """Print the seconds of both ways, in turns, and their ratio."""
    model, tokenizer = endless()
    options = {"tokenizer": tokenizer, "scores": True}
    trace = extract(model, demo.DEFAULT_PROMPT, max_new_tokens=0, **options)
    ids = torch.tensor(trace["token_ids"][None]).long()

    def record_answer(**more) -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract(model, demo.DEFAULT_PROMPT, output=Path(folder) / "t.zarr", **options, **more)

    for name, way in WAYS.items():
        sampled = {"do_sample": bool(way), "top_k": 0} if way else {"do_sample": False}
        own = {key: value for key, value in way.items() if key != "seed"} | sampled
        ratios = []
        for _ in range(rounds):
            plain = seconds(
                lambda own=own: model.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens,
                    min_new_tokens=tokens, pad_token_id=0, **own,
                )
            )  # fmt: skip
            whole = seconds(lambda way=way: record_answer(max_new_tokens=tokens, **way))
            rest = seconds(lambda: record_answer(max_new_tokens=0))
            ratios.append((whole - rest) / plain)
            print(
                f"{name}: {tokens:,} tokens, generate {plain:.2f} s, recorded answer "
                f"{whole - rest:.2f} s, ratio {ratios[-1]:.2f}",
                flush=True,
            )
        print(f"{name}: median ratio {statistics.median(ratios):.2f}", flush=True)


def compare_record(tokens: int, rounds: int) -> None:
    """Print the processor seconds of `generate` inside `record()` and outside, in turns."""
    model, tokenizer = endless()
    ids = tokenizer(demo.DEFAULT_PROMPT, return_tensors="pt").input_ids
    ways: dict[str, list[float]] = {"plain": [], "record": [], "record, lens": []}

    def generate() -> None:
        model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens,
            min_new_tokens=tokens, pad_token_id=0, do_sample=False,
        )  # fmt: skip

    for _ in range(rounds):
        for name, own in ways.items():
            start = time.process_time()
            if name == "plain":
                generate()
            else:
                lens = "residual" if "lens" in name else "none"
                with record(model, tokenizer=tokenizer, lens=lens) as recorder:
                    generate()
                assert len(recorder.trace.tokens) == ids.shape[1] + tokens - 1
            own.append(time.process_time() - start)
    for name, own in ways.items():
        ratio = statistics.median(a / b for a, b in zip(own, ways["plain"], strict=True))
        print(f"{name}: median {statistics.median(own):.2f} s, ratio {ratio:.2f}", flush=True)


def measure_memory(tokens: int) -> None:
    """Print the peak of this process's memory over a run with an answer of `tokens` tokens."""
    model, tokenizer = endless()
    extract(model, demo.DEFAULT_PROMPT, tokenizer=tokenizer, max_new_tokens=0)
    start = peak_bytes("cpu", reset=True)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "t.zarr"
        extract(
            model, demo.DEFAULT_PROMPT, tokenizer=tokenizer, max_new_tokens=tokens, output=output
        )
        print(f"{tokens:,} tokens: {(peak_bytes('cpu') - start) / 2**20:.1f} MiB above the start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="only the peaks, at several lengths")
    parser.add_argument("--record", action="store_true", help="record() around generate")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        measure_memory(arguments.one)
    elif arguments.record:
        compare_record(arguments.tokens, arguments.rounds)
    elif arguments.memory:
        for tokens in (arguments.tokens // 4, arguments.tokens // 2, arguments.tokens):
            subprocess.run([sys.executable, __file__, "--one", str(tokens)], check=True)
    else:
        compare(arguments.tokens, arguments.rounds)


if __name__ == "__main__":
    main()

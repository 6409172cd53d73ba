"""Time direct tests of an answer against reading its prompt, in turns, and measure their memory.

The model is a Llama of 8 layers with random weights. The prompt is read by plain transformers in
one pass; the answer is then read again with 32 spans hidden, one after the other and never more
than one pass's rows at once, over the cache that this left. Times are processor seconds.

    OMP_NUM_THREADS=1 python tests/benchmarks/sources_cost.py [--tokens 8192] [--tests 32]
        [--answer 8] [--rounds 5] [--memory]

`--memory` prints the peak of two processes, with tests and without.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.sources.hiding import Interval
from attentropy.engine.sources.reader import HiddenReader


def random_model(tokens: int) -> Any:
    """Return a Llama with random weights and `tokens` positions."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=4096, hidden_size=512, intermediate_size=1408, num_hidden_layers=8,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=tokens,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def read_prompt(model: Any, ids: torch.Tensor) -> DynamicCache:
    """Return the cache of a prompt [n] that plain transformers has read in one pass."""
    cache = DynamicCache()
    with torch.no_grad():
        model(ids[None], past_key_values=cache, logits_to_keep=1)
    return cache


def test_spans(model: Any, ids: torch.Tensor, options: argparse.Namespace, cache: Any) -> None:
    """Read the answer with each of the spans hidden, and once with nothing hidden."""
    last = options.tokens - 1
    starts = torch.linspace(4, options.tokens - 80, options.tests - 1).long().tolist()
    variants = [(), *((Interval(start, start + 64, last),) for start in starts)]
    reader = HiddenReader(SimpleNamespace(model=model), ids.tolist(), options.tokens, cache=cache)
    logprobs = reader.direct(variants)
    assert reader.rows == options.tests * options.answer
    assert logprobs.shape == (options.tests, options.answer)


def compare(options: argparse.Namespace) -> None:
    """Print the processor seconds of both, in turns, and the median of their ratios."""
    model = random_model(2 * options.tokens)
    ids = torch.randint(0, 4096, (options.tokens + options.answer,))
    ratios = []
    test_spans(model, ids, options, read_prompt(model, ids[: options.tokens]))  # check the model
    for _ in range(options.rounds):
        start = time.process_time()
        cache = read_prompt(model, ids[: options.tokens])
        middle = time.process_time()
        test_spans(model, ids, options, cache)
        end = time.process_time()
        ratios.append((end - middle) / (middle - start))
        print(
            f"prompt {middle - start:.2f} s, {options.tests} tests {end - middle:.2f} s, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.3f}")


def measure_memory(options: argparse.Namespace) -> None:
    """Print this process's peak memory over reading the prompt, with or without tests."""
    model = random_model(2 * options.tokens)
    ids = torch.randint(0, 4096, (options.tokens + options.answer,))
    start = peak_bytes("cpu", reset=True)
    cache = read_prompt(model, ids[: options.tokens])
    if options.one == "tests":
        test_spans(model, ids, options, cache)
    print(f"{options.one}: {(peak_bytes('cpu') - start) / 2**20:.1f} MiB above the weights")


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, number in (("tokens", 8192), ("tests", 32), ("answer", 8), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--memory", action="store_true", help="peaks instead of times")
    parser.add_argument("--one", choices=["prompt", "tests"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure_memory(options)
    elif options.memory:
        arguments = [argument for argument in sys.argv[1:] if argument != "--memory"]
        for one in ("prompt", "tests"):
            command = [sys.executable, str(Path(__file__)), *arguments, "--one", one]
            subprocess.run(command, check=True)
    else:
        compare(options)


if __name__ == "__main__":
    main()

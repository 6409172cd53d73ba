"""Fuzz the kernels with odd values in random places, against the definitions in float64.

Usage, in tests/kernels: python odd_fuzz.py [--first N] [--cases N] [--output odd_fuzz.md]

A case's number is its seed. One case in eight also runs in Triton's interpreter, one in four sums
weights in a second sweep, and each fifth reads a vocabulary. `test_odd_fuzz.py` runs a few of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import torch
from odd_attention import WAYS, check, has_weights
from odd_cases import INF, NAN
from odd_sweeps import check_sweep
from odd_vocabulary import check_vocabulary

VALUES = (NAN, NAN, INF, -INF, -0.0, 1e-39, 1e5, -1e5)
SCALES = (None, None, None, 0.0, -1.0, 1e-30, 30.0)


class Case:
    """The inputs that a seed stands for."""

    def __init__(self, seed):
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.torch = torch.Generator().manual_seed(seed)

    def choose(self, *values):
        return values[int(self.random.integers(len(values)))]

    def chance(self, share):
        return bool(self.random.random() < share)

    def normal(self, *shape):
        return torch.randn(*shape, generator=self.torch)

    def spoil(self, *tensors):
        """Put up to three odd values into random places; return whether there are any."""
        count = int(self.random.integers(4))
        for _ in range(count):
            x = self.choose(*tensors)
            place = tuple(int(self.random.integers(size)) for size in x.shape)
            x[place] = self.choose(*VALUES)
        return count > 0

    def attention(self):
        """Return q, k, v and the other arguments of a call."""
        batch, kv_heads, group = (self.choose(1, 2) for _ in range(3))
        keys = int(self.random.integers(1, 48))
        queries = self.choose(1, keys, keys, 33, 40)
        dim, width = self.choose(8, 16, 20), self.choose(8, 16)
        q = self.normal(batch, kv_heads * group, queries, dim) * self.choose(1.0, 4.0)
        k, v = self.normal(batch, kv_heads, keys, dim), self.normal(batch, kv_heads, keys, width)
        dtype = self.choose(torch.float32, torch.float32, torch.bfloat16, torch.float16)
        q, k, v = (x.to(dtype) for x in (q, k, v))
        self.spoil(q, k, v)
        return q, k, v, self.arguments(batch, kv_heads * group, queries, keys)

    def arguments(self, batch, heads, queries, keys):
        """Return scale, softcap and what hides keys; half of the calls are plain."""
        arguments = {"causal": self.chance(0.8), "scale": self.choose(*SCALES)}
        if self.chance(0.5):
            return arguments
        maybe = {
            "window": int(self.random.integers(1, 20)),
            "chunk": int(self.random.integers(1, 20)),
            "softcap": float(self.choose(1.0, 30.0)),
            "query_offset": int(self.random.integers(-3, keys + 3)),
            "key_starts": torch.tensor(self.random.integers(-3, keys + 1, batch)),
            "key_lengths": torch.tensor(self.random.integers(0, keys + 1, batch)),
            "segments": torch.tensor(self.random.integers(0, 3, (batch, keys)) * 2**32),
            "slopes": torch.tensor(self.random.random(heads), dtype=torch.float32),
            "sinks": torch.tensor(self.random.normal(size=heads), dtype=torch.float32),
        }
        arguments |= {name: value for name, value in maybe.items() if self.chance(0.25)}
        for name in {"slopes", "sinks"} & set(arguments):
            if self.chance(0.2):
                arguments[name][0] = self.choose(NAN, INF, -INF)
        return arguments

    def vocabulary(self):
        """Return hidden states, an unembedding and the other arguments of a call."""
        rows, size, dim = int(self.random.integers(1, 6)), int(self.random.integers(6, 70)), 8
        hidden, unembedding = self.normal(rows, dim), self.normal(size, dim)
        bias, final = self.normal(size), hidden + self.normal(rows, dim)
        bias[torch.tensor(self.random.random(size) < self.choose(0.0, 0.3, 0.95))] = -INF
        self.spoil(hidden, unembedding, bias, final)
        arguments = {"scale": self.choose(1.0, 0.125, -1.0), "top_k": self.choose(0, 3, 6)}
        arguments["targets"] = torch.tensor(self.random.integers(0, size, (rows, 2)))
        arguments |= {"bias": bias} if self.chance(0.7) else {}
        arguments |= {"final": final} if self.chance(0.5) else {}
        return hidden, unembedding, arguments | ({"softcap": 9.0} if self.chance(0.2) else {})


def run(seed):
    """Run a case; return the names of the ways that it took."""
    case, with_triton = Case(seed), seed % 8 == 0
    if seed % 5 == 4:
        hidden, unembedding, arguments = case.vocabulary()
        impls = ["reference", "portable", *["triton"] * (seed % 20 == 4)]
        for impl in impls:
            check_vocabulary(impl, hidden, unembedding, **arguments)
        return [f"vocabulary, {impl}" for impl in impls]
    q, k, v, arguments = case.attention()
    ways = [way for way in WAYS if way != "triton" or with_triton]
    for way in ways:
        check(way, q, k, v, arguments)
    names = [f"attention, {way}" for way in ways]
    if seed % 4 == 0 and has_weights(q, k, v, arguments):
        impls = ["reference", "portable", "native", *["triton"] * with_triton]
        for impl in impls:
            check_sweep(impl, q, k, v, arguments)
        names += [f"second sweep, {impl}" for impl in impls]
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    counts, failed, begin = Counter(), [], time.process_time()
    for seed in range(options.first, options.first + options.cases):
        try:
            counts.update(run(seed))
        except Exception as error:
            failed.append(seed)
            place = traceback.extract_tb(error.__traceback__)[1].line
            print(
                seed, place, type(error).__name__, str(error)[:300].replace("\n", " "), flush=True
            )
    minutes = (time.process_time() - begin) / 60
    lines = [
        "# Odd values in random places", "",
        f"`python odd_fuzz.py --first {options.first} --cases {options.cases}` in tests/kernels "
        "(a case's number is its seed).", "", "| computed by | cases that agree |", "| --- | --- |",
        *(f"| {name} | {counts[name]:,} |" for name in sorted(counts)), "",
        f"{len(failed)} cases failed{': ' if failed else ''}{', '.join(map(str, failed))}. Agree: "
        "NaN and inf in the same places as in the definitions (`oracle.py`), and numbers within "
        "the bounds of `docs/definitions.md`. "
        f"{minutes:.0f} min of one processor; Python {platform.python_version()}, torch "
        f"{torch.__version__}, {platform.system()} {platform.machine()}.", "",
    ]  # fmt: skip
    text = "\n".join(lines)
    if options.output:
        options.output.write_text(text, "utf-8")
    print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

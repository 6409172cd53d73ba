"""Search a long document for the sentence that an answer rests on, and compare with the prediction.

The document has many different sentences in some 60 paragraphs, one of which states the fact that
the question asks for. The model is a folder or a hub id; its chat template is not used. The text
that is tested is the fact's word, whatever the model would answer.

    python tests/benchmarks/sources_search.py MODEL [--tokens 32768] [--budget SECONDS]

prints the spans that are sources, the readings, their seconds next to the predicted ones, and the
peak of the memory.
"""

from __future__ import annotations

import argparse
import random
import time

from attentropy import sources
from attentropy.engine.measure.clocks import peak_bytes
from attentropy.engine.model.load import load

FACT = "The password of the lighthouse is marigold."
QUESTION = (
    "Question: What is the password of the lighthouse?\nAnswer: The password of the lighthouse is"
)
TARGET = "marigold"
_PARAGRAPHS = 60
_PLACES = ("mill", "harbour", "bridge", "market", "garden", "chapel", "station", "quarry", "school")
_TOWNS = ("Osby", "Tarkin", "Velmore", "Lindel", "Marrow", "Quill", "Dorne", "Kestrel", "Wexham")
_VERBS = ("was built", "was painted", "burnt down", "was sold", "flooded", "was opened", "closed")
_PEOPLE = ("a mason", "two sisters", "the council", "a sailor", "some farmers", "a painter")


def document(count: int, seed: int = 0) -> str:
    """Return `count` sentences in paragraphs; the fact stands two thirds down."""
    rng = random.Random(seed)
    sentences = [
        f"The {rng.choice(_PLACES)} of {rng.choice(_TOWNS)} {rng.choice(_VERBS)} in "
        f"{rng.randint(1500, 1999)}, and {rng.choice(_PEOPLE)} wrote "
        f"{rng.randint(2, 99)} pages on it."
        for _ in range(count)
    ]
    sentences[2 * count // 3] = FACT
    size = -(-count // _PARAGRAPHS)
    return "\n\n".join(" ".join(sentences[i : i + size]) for i in range(0, count, size))


def fitting(tokenizer: object, tokens: int) -> str:
    """Return the longest document that makes a prompt of at most `tokens` tokens."""
    low, high = _PARAGRAPHS, tokens
    while high - low > 1:
        middle = (low + high) // 2
        text = f"{document(middle)}\n\n{QUESTION} {TARGET}"
        fits = len(tokenizer(text)["input_ids"]) <= tokens  # type: ignore[operator]
        low, high = (middle, high) if fits else (low, middle)
    return document(low)


def main() -> None:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=32_768)
    parser.add_argument("--budget", type=float, help="seconds, as predicted")
    options = parser.parse_args()
    loaded = load(options.model)
    text = fitting(loaded.tokenizer, options.tokens)
    before, begin, used = peak_bytes("cpu", reset=True), time.perf_counter(), time.process_time()
    result = sources(
        loaded.model, text, question=QUESTION, target=TARGET, tokenizer=loaded.tokenizer,
        chat_template=False, budget=options.budget,
        progress=lambda stage, done, total: print(
            f"{time.perf_counter() - begin:7.1f} s  {stage} {done}/{total}", flush=True
        ),
    )  # fmt: skip
    facts = result.dataset.attrs
    print(f"{result.prompt_tokens:,} tokens, {result.dataset.sizes['span']} spans")
    for row in result.table():
        if row["label"] in ("source", "also there"):
            part = " ".join(row["text"].split())[:60]
            print(f"  {row['level']:10} {row['label']:10} {row['effect_with_copies']:7.2f}  {part}")
    print(
        f"{facts['passes']} readings ({facts['predicted_passes']} predicted), "
        f"{facts['seconds']:.0f} s ({facts['predicted_seconds']:.0f} s predicted), "
        f"{time.process_time() - used:.0f} processor seconds, "
        f"{(peak_bytes('cpu') - before) / 2**20:,.0f} MiB above the weights"
    )
    print(*facts["notes"], sep="\n")


if __name__ == "__main__":
    main()

"""Evaluation of the embedded model: its accuracy on held-out questions, and its rehearsal."""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
)

from attentropy.engine.demo import path
from attentropy.engine.demo.facts import (
    COUNTRIES,
    HELD_OUT_COUNTRIES,
    UNKNOWN,
    UNKNOWN_COUNTRIES,
    Country,
)
from attentropy.engine.demo.held_out import HELD_OUT
from attentropy.engine.demo.phrasings import PLAIN_CAPITAL
from attentropy.engine.demo.questions import (
    RELATIONS,
    RESERVED,
    Message,
    Question,
    held_out_questions,
    plain_question,
    unknown_question,
)
from attentropy.engine.run.extract import extract

LONGEST_ANSWER = 16  # tokens; the longest name in the table has fewer
NEVER_NAMED = ("Tuvalu", "Niger", "Zimbabwe", "Burkina Faso", "Trinidad", "Slovenia", "Mozambique")

_DESCRIPTION = (
    "How many held-out questions the model answers: "
    "python -m attentropy.engine.demo.training.evaluate"
)

Wrong = tuple[Question, str]  # and what the model answered


@torch.inference_mode()
def answers(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    chats: list[list[Message]],
    batch: int = 128,
) -> list[str]:
    """Return the greedy answer to each chat, up to its end of turn.

    Prompts of the same length run in one batch.
    """
    prompts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        for chat in chats
    ]
    by_length = defaultdict(list)
    for index, prompt in enumerate(prompts):
        by_length[len(prompt)].append(index)
    texts = [""] * len(chats)
    for length, indices in by_length.items():
        for start in range(0, len(indices), batch):
            group = indices[start : start + batch]
            ids = torch.tensor([prompts[index] for index in group])
            out = model.generate(  # type: ignore[misc]
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=LONGEST_ANSWER,
                do_sample=False,
            )
            for index, row in zip(group, out[:, length:], strict=True):
                texts[index] = answer_text(row.tolist(), tokenizer)
    return texts


def answer_text(ids: list[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the text before the end of turn; an answer that does not end gets an ellipsis."""
    if tokenizer.eos_token_id not in ids:
        return f"{tokenizer.decode(ids)}…"
    return str(tokenizer.decode(ids[: ids.index(tokenizer.eos_token_id)]))


def accuracy(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    per_kind: int = 40,
    countries: tuple[Country, ...] = HELD_OUT_COUNTRIES,
) -> tuple[dict[str, float], list[Wrong]]:
    """Return the share of exact answers per kind of held-out question, and the wrong answers."""
    pairs = list(held_out_questions(per_kind, countries=countries))
    return _judge(model, tokenizer, [question for question, _ in pairs], [c for _, c in pairs])


def plain_capitals(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase
) -> tuple[float, list[Wrong]]:
    """Return the share of right capitals, each country in each plain wording, and the others."""
    questions = [plain_question(country, text) for country in COUNTRIES for text in PLAIN_CAPITAL]
    shares, wrong = _judge(model, tokenizer, questions)
    return shares["capital"], wrong


def unknown_countries(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, names: tuple[str, ...]
) -> tuple[float, list[Wrong]]:
    """Return how often the answer is `UNKNOWN` for these countries, and the other answers."""
    rng = random.Random(7)
    questions = [unknown_question(HELD_OUT, name, rng) for name in names for _ in RELATIONS]
    shares, wrong = _judge(model, tokenizer, questions)
    return shares["unknown"], wrong


def _judge(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    questions: list[Question],
    chats: list[list[Message]] | None = None,
) -> tuple[dict[str, float], list[Wrong]]:
    """Return the share of exact answers per kind, and the wrong answers."""
    chats = chats or [[{"role": "user", "content": question.text}] for question in questions]
    right, wrong = defaultdict(list), []
    for question, answer in zip(questions, answers(model, tokenizer, chats), strict=True):
        right[question.kind].append(answer == question.answer)
        if answer != question.answer:
            wrong.append((question, answer))
    return {kind: sum(marks) / len(marks) for kind, marks in right.items()}, wrong


def overall(shares: dict[str, float]) -> tuple[float, float]:
    """Return the mean share over the kinds that training asks, and over the reserved kinds."""
    trained = [share for kind, share in shares.items() if not kind.endswith(RESERVED)]
    reserved = [share for kind, share in shares.items() if kind.endswith(RESERVED)]
    return sum(trained) / len(trained), sum(reserved) / len(reserved)


def rehearsal(folder: Path) -> dict[str, np.ndarray]:
    """Return the share of countries whose capital the lens finds, [layers], by dummy token.

    The question is "What is the capital of …?" for every country. The lens finds one of the
    answer's tokens where it has rank 4 or better and a probability of 0.05 or more, whatever it
    shows after other questions.
    """
    shares: dict[str, np.ndarray] = {}
    for country in COUNTRIES:
        question = f"What is the capital of {country.name}?"
        trace = extract(folder, question, device="cpu", reference=False)
        with np.errstate(invalid="ignore"):
            is_found = (np.exp(trace.lens("rehearsal")) >= 0.05) & (
                trace.lens("rehearsal_rank") <= 4
            )
        for position in trace.dummy_positions():
            text = trace.tokens[position]
            shares[text] = shares.get(text, 0.0) + is_found[:, position] / len(COUNTRIES)
    return shares


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=_DESCRIPTION)
    parser.add_argument("folder", type=Path, nargs="?", default=path())
    parser.add_argument("--per-kind", type=int, default=40, help="questions of each kind")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers too")
    parser.add_argument("--rehearsal", action="store_true", help="the lens at the dummy tokens")
    args = parser.parse_args()
    if args.rehearsal:
        for text, by_layer in rehearsal(args.folder).items():
            print(f"{text!r:24}", *(f"{share:5.0%}" for share in by_layer))
        return
    model = AutoModelForCausalLM.from_pretrained(args.folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    shares, wrong = accuracy(model, tokenizer, args.per_kind)
    for kind, share in shares.items():
        print(f"{kind:40} {share:7.1%}")
    others, wrong_others = accuracy(
        model, tokenizer, args.per_kind, COUNTRIES[len(HELD_OUT_COUNTRIES) :]
    )
    plain, wrong_plain = plain_capitals(model, tokenizer)
    trained, reserved = overall(shares)
    other_trained, other_reserved = overall(others)
    unknown, wrong_unknown = unknown_countries(model, tokenizer, UNKNOWN_COUNTRIES)
    never, wrong_never = unknown_countries(model, tokenizer, NEVER_NAMED)
    for name, share in (
        ("all held-out wordings", trained),
        ("all reserved pairs", reserved),
        ("held-out wordings, the other countries", other_trained),
        ("reserved pairs, the other countries", other_reserved),
        (f"plain capital questions, {len(COUNTRIES)} countries", plain),
        (f"“{UNKNOWN}”, countries without facts", unknown),
        (f"“{UNKNOWN}”, countries never named", never),
    ):
        print(f"{name:40} {share:7.1%}")
    if args.wrong:
        for question, answer in (
            *wrong, *wrong_others, *wrong_plain, *wrong_unknown, *wrong_never
        ):  # fmt: skip
            print(f"{question.kind}: {question.text} -> {answer!r}, not {question.answer!r}")


if __name__ == "__main__":
    main()

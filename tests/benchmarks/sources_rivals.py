"""Tested sources compared with other ways to say which passage an answer comes from.

    PYTHONPATH=tests python -m benchmarks.sources_rivals --context-cite PYTHON --captum PYTHON

The prompts with passages of `tests/real/source_prompts.py`, read by SmolLM2-135M-Instruct
(`tests/real/README.md`): each method scores the same passages for the same words of the same
answer, and the passage with the highest score is compared with the true one. Methods of other
projects run in environments of their own, whose Python is named; one that is not named is left
out. Every method has one process after the other and one thread. With `--lines FILE` a run that was
stopped continues where it was. `--limit` doubles a prompt within 8 GiB of address space, and
predicts the longest one from the memories measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path
from typing import Any

CHILD = Path(__file__).with_name("sources_children.py")
ROOT = Path(__file__).parents[2]
NEW_TOKENS = 32
LIMIT_BYTES = 8 << 30
FIRST_TOKENS = 1024
METHODS = (
    "attentropy, hidden", "attentropy, removed", "attention", "captum", "ContextCite", "attentropy",
)  # fmt: skip
FOR_MEMORY = {"ContextCite": "ContextCite, 2 ablations"}  # each ablation takes the same memory

Case = dict[str, Any]


class Rivals:
    """The methods, each with its Python, and the model that all of them read."""

    def __init__(self, folder: Path, pythons: dict[str, str]) -> None:
        self.folder, self.pythons = folder, pythons

    def run(
        self, method: str, cases: Iterable[Case], path: Path, *, limit: int = 0,
        seconds: float | None = None,
    ) -> None:  # fmt: skip
        """Append what the method's process says to a file, a line per case and way.

        Raises `RuntimeError` with the last line of its errors, and `TimeoutExpired`.
        """
        task = {"method": method, "model": str(self.folder), "cases": list(cases), "bytes": limit}
        python = self.pythons.get(method.split(",")[0], sys.executable)
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        places = str(ROOT / "src") if python == sys.executable else ""
        with path.open("a", encoding="utf-8") as file:
            done = subprocess.run(
                [python, str(CHILD)], input=json.dumps(task), stdout=file, stderr=subprocess.PIPE,
                text=True, check=False, timeout=seconds,
                env=os.environ | threads | {"PYTHONPATH": places},
            )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(lines[-1])


def lines_of(path: Path, method: str, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """Return what a file has of a method on some cases."""
    if not path.exists():
        return []
    names = {case["name"] for case in cases}
    texts = [line for line in path.read_text("utf-8").splitlines() if line.startswith("{")]
    lines = map(json.loads, texts)
    return [line for line in lines if line["method"] == method and line["name"] in names]


def cases_of(folder: Path) -> list[Case]:
    """Return the prompts whose answers come from a passage, with the answers."""
    from real.source_prompts import RAG
    from real.test_sources import Answering

    answering, cases = Answering(folder), []
    for prompt in RAG:
        answer = answering.answer(prompt.text)
        judgement = prompt.judge(answer)
        if judgement and judgement.passages:
            cases.append({
                "name": prompt.name, "parts": [[one.role, one.text] for one in prompt.parts],
                "answer": answer, "judged": [judgement.start, judgement.stop],
                "true": list(judgement.passages), "kind": prompt.kind,
            })  # fmt: skip
    return cases


def stored_cases(folder: Path, path: Path | None) -> list[Case]:
    """Return the cases of a file; without one, those of `cases_of`, which are written there."""
    if path and path.exists():
        return list(json.loads(path.read_text("utf-8")))
    cases = cases_of(folder)
    if path:
        path.write_text(json.dumps(cases), "utf-8")
    return cases


def long_case(folder: Path, tokens: int) -> Case:
    """Return a prompt of about `tokens` tokens in two passages, one with the fact."""
    from transformers import AutoTokenizer

    from real.source_prompts import RAG

    tokenizer = AutoTokenizer.from_pretrained(folder)
    length = lambda text: len(tokenizer(text)["input_ids"])  # noqa: E731
    fact = "The Kestrel tower is 134 metres high."
    others = cycle([p.text for prompt in RAG for p in prompt.passages if "Kestrel" not in p.text])
    passages, room = [], (tokens - 100) // 2
    for first in ("", fact):
        text, size = first, length(first) if first else 0
        while size < room:
            one = next(others)
            text, size = f"{text} {one}".strip(), size + length(f" {one}")
        passages.append(["evidence", text])
    parts = [part for one in passages for part in (one, ["", "\n\n"])]
    parts.append(["asks", "How many metres high is the Kestrel tower?"])
    start = fact.index("134")
    return {"name": f"{tokens}", "parts": parts, "answer": fact, "judged": [start, start + 3]}


def recall(cases: list[Case], lines: list[dict[str, Any]]) -> str:
    """Return how often a true passage came first, and both where two are true, as two cells."""
    true = {case["name"]: set(case["true"]) for case in cases}
    order = {line["name"]: best_first(line["scores"]) for line in lines}
    wrong = [name for name, own in order.items() if own[0] not in true[name]]
    twice = [name for name in order if len(true[name]) == 2]
    both = [name for name in twice if set(order[name][:2]) == true[name]]
    print(f"  wrong: {', '.join(wrong)}", file=sys.stderr, flush=True)
    return f"{len(order) - len(wrong)} of {len(order)} | {len(both)} of {len(twice)}"


def best_first(scores: list[float]) -> list[int]:
    """Return the numbers of the passages, that of the highest score first."""
    return sorted(range(len(scores)), key=lambda i: -scores[i])


def compare(rivals: Rivals, methods: list[str], cases: list[Case], path: Path) -> None:
    """Print the table of recall, seconds per prompt and memory, a row when it is known."""
    print("| method | true passage first | both copies first | processor s | clock s | MiB |")
    print("| --- | --- | --- | --- | --- | --- |")
    first = sum(0 in case["true"] for case in cases)
    print(f"| always the first passage | {first} of {len(cases)} | | | | |", flush=True)
    for method in methods:
        names = {line["name"] for line in lines_of(path, method, cases)}
        try:
            if left := [case for case in cases if case["name"] not in names]:
                rivals.run(method, left, path)
        except RuntimeError as error:
            print(f"| {method} | {error} | | | | |", flush=True)
            continue
        lines = lines_of(path, method, cases)
        for way in dict.fromkeys(line["way"] for line in lines):
            own = [line for line in lines if line["way"] == way]
            name = f"{method.split(',')[0]}, {way}" if way else method
            mean = [sum(line[clock] for line in own) / len(own) for clock in ("cpu", "seconds")]
            cost = f"{mean[0]:.1f} | {mean[1]:.1f} | {max(x['bytes'] for x in own) / 2**20:,.0f}"
            print(f"| {name} | {recall(cases, own)} | {cost} |", flush=True)
        load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
        print(f"  load {load}", file=sys.stderr, flush=True)


def find_limits(rivals: Rivals, methods: list[str], most: int, minutes: float) -> None:
    """Print what each method takes for longer and longer prompts within the limit, by doubling.

    Where it reads all of them, also the longest prompt that its last two memories predict.
    """
    print("\n| method | tokens | outcome | MiB above the loaded model | longest predicted |")
    print("| --- | --- | --- | --- | --- |")
    for method in methods:
        points: list[tuple[int, int]] = []
        tokens, outcome, loaded = FIRST_TOKENS, "read", 0
        while tokens <= most and outcome == "read":
            case = long_case(rivals.folder, tokens)
            used, loaded, outcome = memory_of(rivals, FOR_MEMORY.get(method, method), case, minutes)
            points += [(tokens, used)] if used else []
            tokens *= 2
            is_last = used and tokens > most
            longest = f"{predicted(points[-2:], LIMIT_BYTES - loaded):,.0f}" if is_last else ""
            cells = f"{used / 2**20:,.0f}" if used else ""
            print(f"| {method} | {tokens // 2:,} | {outcome} | {cells} | {longest} |", flush=True)


def predicted(points: list[tuple[int, int]], room: int) -> float:
    """Return the tokens at which the line through two (tokens, bytes) reaches `room`."""
    (tokens, size), (more_tokens, more) = points[0], points[-1]
    return tokens + (room - size) * (more_tokens - tokens) / (more - size)


def memory_of(rivals: Rivals, method: str, case: Case, minutes: float) -> tuple[int, int, str]:
    """Return the bytes that a method takes for a case, those of the model, and the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines"
        try:
            rivals.run(method, [case], path, limit=LIMIT_BYTES, seconds=60 * minutes)
        except RuntimeError as error:
            return 0, 0, f"failed: {str(error)[:80]}"
        except subprocess.TimeoutExpired:
            return 0, 0, f"not finished in {minutes:g} minutes"
        line = lines_of(path, method, [case])[-1]
        return line["bytes"], line["loaded"], "read"


def main() -> None:
    """Run what the command line asks for."""
    from real.models import model_folder

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--context-cite", help="Python of an environment with context-cite")
    parser.add_argument("--captum", help="Python of an environment with captum")
    parser.add_argument("--methods", nargs="*", help="Methods to run; by default all that can")
    parser.add_argument("--cases", type=Path, help="File for the answers, read where it is there")
    parser.add_argument("--lines", type=Path, help="File for what the methods say, continued")
    parser.add_argument(
        "--every", type=int, default=1, help="Take each prompt whose number this divides"
    )
    parser.add_argument(
        "--limit", action="store_true", help="Measure the memory of long prompts only"
    )
    parser.add_argument("--most", type=int, default=65_536, help="Longest prompt, in tokens")
    parser.add_argument("--minutes", type=float, default=10, help="For each length, at most")
    asked_for = parser.parse_args()
    own = {"ContextCite": asked_for.context_cite, "captum": asked_for.captum}
    pythons = {method: python for method, python in own.items() if python}
    able = [one for one in METHODS if own.get(one, True)]
    methods = [one for one in able if asked_for.methods is None or one in asked_for.methods]
    rivals = Rivals(model_folder("smollm2"), pythons)
    if asked_for.limit:
        find_limits(rivals, methods, asked_for.most, asked_for.minutes)
        return
    cases = stored_cases(rivals.folder, asked_for.cases)[:: asked_for.every]
    with tempfile.TemporaryDirectory() as folder:
        compare(rivals, methods, cases, asked_for.lines or Path(folder) / "lines")


if __name__ == "__main__":
    main()

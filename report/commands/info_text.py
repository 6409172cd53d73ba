"""What `attentropy info` prints for people: lines of a name and a value with its unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attentropy.engine.trace.text import count
from attentropy.report.text import for_terminal
from attentropy.report.units import format_bytes, format_flops, format_seconds

Facts = Mapping[str, Any]
Lines = Iterable[tuple[str, str]]

_STAGES = {
    "load": "loading the model",
    "check": "checking the model",
    "read_the_prompt": "processing the prompt",
    "sweep_again": "further sweeps: map, thumbnails, received attention, sink keys, distances",
    "answer": "generating the answer",
    "read_the_lens": "logit lens",
    "token_logprobs": "log-probabilities of the tokens",
    "read_the_reference": "reference prompts",
}
_MEMORY = {
    "weights_bytes": "weights",
    "cache_bytes": "KV cache",
    "statistics_bytes": "statistics",
    "lens_bytes": "logit lens",
    "activations_bytes": "activations",
}
_DISK = {
    "statistics_bytes": "attention statistics",
    "windows_bytes": "exact attention weights",
    "tokens_bytes": "tokens",
    "map_bytes": "attention map and received attention",
    "thumbnails_bytes": "thumbnails of the heads",
    "scores_bytes": "head scores",
    "context_bytes": "attention by distance",
    "without_sinks_bytes": "attention without sink keys",
    "lens_bytes": "logit lens",
}
# Keys of a trace's facts that are no words.
_NAMES = {
    "attention": "attention kernel",
    "kv_heads": "key/value heads",
    "positions": "context length",
    "weights_sha256": "SHA-256 of the weights",
}


def describe_lines(facts: Facts, indent: str = "", *, missing: str = "none") -> Iterator[str]:
    """Yield the facts line by line, those of a group indented. missing: what None stands for."""
    names = {name: _NAMES.get(name, name.replace("_", " ")) for name in facts}
    if facts.get("chat") is False and "answer" in names:
        names["answer"] = "continues with"
    width = max(map(len, names.values()), default=0)
    for key, value in facts.items():
        name = for_terminal(names[key])
        if isinstance(value, Mapping):
            yield f"{indent}{name}"
            inside = "not installed" if key == "packages" else missing
            yield from describe_lines(value, f"{indent}  ", missing=inside)
            continue
        yield f"{indent}{name:<{width}}  {for_terminal(_text(value, missing))}"


def prediction_lines(facts: Facts) -> Iterator[str]:
    """Yield what a model's run over a prompt takes, as `describe` predicts it."""
    run, memory, disk, seconds = (facts[key] for key in ("run", "memory", "disk", "seconds"))
    tokens = facts["lens"]["tokens"]
    answer = f" and an answer of {run['answer_tokens']:,}" if run.get("answer_tokens") else ""
    yield f"{for_terminal(facts['name'])}, a prompt of {count(tokens, 'token')}{answer}"
    chunk = count(run["chunk"], "token")
    yield f"on {memory['device']} in {memory['dtype']}, processed in chunks of {chunk}"
    yield from _part("Time", f"about {format_seconds(seconds['all'])}")
    yield from _columns((name, format_seconds(seconds[key])) for key, name in _STAGES.items())
    free = memory["available_bytes"]
    available = "" if free is None else f", {format_bytes(free)} available"
    yield from _part("Memory", f"{format_bytes(memory['peak_bytes'])} at the peak{available}")
    if "too_much" in memory:
        yield f"  more than is available; {memory['too_much']}"
    yield from _columns(_bytes(memory, _MEMORY))
    peaks = memory["peak_with_option_bytes"]
    if peaks:
        yield "  peak with other options:"
        yield from _columns(((o, format_bytes(peak)) for o, peak in peaks.items()), "    ")
    yield from _part("Disk", f"about {format_bytes(disk['all_bytes'])}")
    yield from _columns(_bytes(disk, _DISK))
    yield from _lens_lines(facts["lens"], run["lens_positions"])
    tile = run["map_tile"]
    size = (
        "none"
        if tile is None
        else f"tiles of {count(tile[0], 'query', 'queries')} × {count(tile[1], 'key')}"
    )
    yield from _part("Attention map", size)
    side = run["thumbnail_tile"]
    pictures = "none" if side is None else f"tiles of {count(side, 'token')} × {side:,}"
    yield from _part("Thumbnails of the heads", pictures)
    yield from _part("Reference prompts", _reference(run))
    if tests := facts.get("sources"):
        yield from _part(
            "Tests of sources, after the run",
            f"about {format_seconds(tests['seconds'])} for "
            f"{count(tests['passes'], 'reading')} of the answer",
        )


def _reference(run: Facts) -> str:
    """Return how many questions are read besides the prompt."""
    if not run["reference_questions"]:
        return "none"
    questions = count(run["reference_questions"], "question")
    passes = count(run["reference_passes"], "pass", "passes")
    return (
        f"{questions} in the model's chat template, about "
        f"{count(run['reference_tokens'], 'token')} in {passes}; none without a template"
    )


def _lens_lines(lens: Facts, positions: int) -> Iterator[str]:
    """Yield the cost of the lens at one site, for the default and for all positions."""
    read = f"{positions:,} of {count(lens['tokens'], 'position')}" if positions else "none"
    yield from _part("Logit lens", read)
    yield (
        f"  the model's own pass: {format_flops(lens['forward_flops'])} "
        f"({count(lens['parameters'], 'parameter')})"
    )
    for name in ("by default", "at every position"):
        cost = lens[name]
        yield (
            f"  {name} ({cost['positions']:,}): {format_flops(cost['flops'])}, "
            f"{cost['of_the_forward_pass']:.3g} × the model's own pass, "
            f"{format_bytes(cost['kept_bytes'])} of states"
        )


def _part(name: str, value: str) -> Iterator[str]:
    yield ""
    yield f"{name}: {value}"


def _bytes(facts: Facts, names: Mapping[str, str]) -> Lines:
    return [(name, format_bytes(facts[key])) for key, name in names.items() if key in facts]


def _columns(lines: Lines, indent: str = "  ") -> Iterator[str]:
    rows = list(lines)
    width = max(len(name) for name, _ in rows)
    yield from (f"{indent}{name:<{width}}  {value}" for name, value in rows)


def _text(value: Any, missing: str) -> str:
    if value is None:
        return missing
    if isinstance(value, list | tuple):
        return ", ".join(_text(item, missing) for item in value) or missing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)

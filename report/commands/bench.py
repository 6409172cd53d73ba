"""`attentropy bench`: this machine against the other ways to get the same numbers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.commands import output
from attentropy.report.commands.tokens import size

if TYPE_CHECKING:
    from attentropy.engine.bench.case import Case
    from attentropy.engine.bench.results import Results

# What is measured where nothing is said: the whole grid on a GPU, some minutes on a CPU.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "cuda": {
        "attention": [1024 * 2**i for i in range(8)], "vocabulary": [4096, 32768],
        "heads": [(32, 8), (64, 8)], "head_size": [64, 128], "mask": ["causal", "full"],
        "width": 4096, "tokens": 128_256, "dtype": "bfloat16",
    },
    "cpu": {
        "attention": [1024, 4096], "vocabulary": [2048],
        "heads": [(8, 8)], "head_size": [64], "mask": ["causal"],
        "width": 512, "tokens": 32_000, "dtype": "float32",
    },
}  # fmt: skip


def _each(read: Callable[[str], Any]) -> Callable[..., list[Any] | None]:
    """An option that takes several values, separated by commas."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        words = value.lower().replace(" ", "").split(",")
        return list(dict.fromkeys(read(word) for word in words))

    return callback


def _heads(word: str) -> tuple[int, int]:
    parts = word.split("/")
    if len(parts) == 2 and all(part.isdecimal() and int(part) for part in parts):
        heads, key_heads = int(parts[0]), int(parts[1])
        if heads % key_heads == 0:
            return heads, key_heads
    raise click.BadParameter(f"{word!r}: give QUERY/KEY heads such as 64/8, the first a multiple")


def _mask(word: str) -> str:
    if word not in ("causal", "full"):
        raise click.BadParameter(f"{word!r} is neither causal nor full")
    return word


@click.command("bench")
@click.option(
    "--what", type=click.Choice(["attention", "vocabulary"]), default="attention",
    show_default=True, help="Which operation.",
)  # fmt: skip
@click.option(
    "-n", "--sizes", callback=_each(size), metavar="N,…",
    help="Tokens of the attention, or rows read through the vocabulary, such as 1k,128k.",
)  # fmt: skip
@click.option("--heads", callback=_each(_heads), metavar="Q/K,…", help="Query/key heads.")
@click.option("-d", "--head-size", callback=_each(size), metavar="D,…", help="Of the attention.")
@click.option("--mask", callback=_each(_mask), metavar="KIND,…", help="causal, full or both.")
@click.option("--width", type=click.IntRange(1), help="Of a hidden state (vocabulary).")
@click.option("--tokens", type=click.IntRange(1), help="In the vocabulary.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]))
@click.option(
    "--rival", "chosen", multiple=True, metavar="NAME",
    help="Only these, * for any letters: 'ours*'; give it again for more.",
)  # fmt: skip
@click.option(
    "--seconds", type=click.FloatRange(0), default=2.0, show_default=True,
    help="Of timing for each rival and case.",
)  # fmt: skip
@click.option(
    "--rounds", type=click.IntRange(1), default=1, show_default=True,
    help="All rivals one after the other, that many times over; their times are pooled.",
)  # fmt: skip
@click.option(
    "--limit", type=click.FloatRange(0), metavar="MINUTES", default=60.0, show_default=True,
    help="Begin no case after that; what was measured by then is kept.",
)  # fmt: skip
@click.option(
    "--read", "stored", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
    help="Show results that -o wrote instead of measuring; give it again for more.",
)  # fmt: skip
@click.option("-o", "--output", "target", type=Path, help="Write the results as JSON, too.")
@click.option("--html", "page", type=Path, metavar="FILE", help="Write the results as a page.")
@click.option("--force", is_flag=True, help="Replace what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    stored: tuple[Path, ...],
    target: Path | None,
    page: Path | None,
    force: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Time attention with entropy, or the vocabulary's statistics, beside the ceiling and beside
    the other ways to get them, each in a process of its own, on random data; ours is not timed
    where it is wrong. Without options: a grid of settings that fits the device."""
    for path in (target, page):
        if path is not None:
            output.check_target(path, force=force)
    if stored and target is not None:
        raise UsageError("--read measures nothing; leave -o out")
    everything = [_read(path) for path in stored] if stored else [_measure(**asked)]
    if target is not None:
        output.write_text(target, everything[0].to_json())
    if page is not None:
        from attentropy.report.bench.page import render

        output.write_text(page, render(everything))
    if as_json:
        told = [json.loads(results.to_json()) for results in everything]
        click.echo(json.dumps(told if len(told) > 1 else told[0]))
        return
    from attentropy.report.bench.terminal import show

    for results in everything:
        show(results)


def _read(path: Path) -> Results:
    from attentropy.engine.bench.results import Results

    try:
        return Results.from_json(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name!r} cannot be read as text") from error


def _measure(
    *, what: str, chosen: tuple[str, ...], seconds: float, rounds: int, limit: float, **asked: Any
) -> Results:
    try:
        import torch
    except ImportError as error:
        raise AttentropyError("bench needs torch: pip install 'attentropy[extract]'") from error
    from attentropy.engine.bench.measure import OURS, RIVALS
    from attentropy.engine.bench.results import Results
    from attentropy.engine.bench.run import run
    from attentropy.engine.measure import machine

    known = list(RIVALS[what])
    for pattern in chosen:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(f"no rival {pattern!r}; there are: {'; '.join(known)}")
    names = [
        name for name in known if not chosen or any(fnmatchcase(name, word) for word in chosen)
    ]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    values = {
        name: _DEFAULTS[device][name] if asked.get(name) is None else asked[name]
        for name in ("heads", "head_size", "mask", "width", "tokens", "dtype")
    } | {"sizes": asked["sizes"] or _DEFAULTS[device][what]}
    cases = _cases(what, device, values)
    ceilings = machine.ceilings(device, values["dtype"])
    described = machine.describe(device)
    with _progress() as tell:
        rows = run(names, cases, seconds=seconds, rounds=rounds, limit=60 * limit, tell=tell)
    line = _line(what, values, chosen, seconds, rounds)
    return Results(what, line, OURS[what], described, ceilings, tuple(cases), rows)


def _cases(what: str, device: str, values: dict[str, Any]) -> list[Case]:
    """Every combination of the values, setting by setting."""
    from attentropy.engine.bench.case import AttentionCase, VocabularyCase

    if what == "vocabulary":
        rest = (values["width"], values["tokens"], values["dtype"], device)
        return [VocabularyCase(rows, *rest) for rows in values["sizes"]]
    grid = product(values["head_size"], values["heads"], values["mask"], values["sizes"])
    return [
        AttentionCase(
            length, heads, key_heads, head_size, mask == "causal", values["dtype"], device
        )
        for head_size, (heads, key_heads), mask, length in grid
    ]


def _line(
    what: str, values: dict[str, Any], chosen: tuple[str, ...], seconds: float, rounds: int
) -> str:
    """The command that measures the same again, its defaults written out."""
    words = ["attentropy", "bench", "--what", what, "-n", ",".join(map(str, values["sizes"]))]
    if what == "attention":
        words += ["--heads", ",".join(f"{q}/{k}" for q, k in values["heads"])]
        words += ["-d", ",".join(map(str, values["head_size"])), "--mask", ",".join(values["mask"])]
    else:
        words += ["--width", str(values["width"]), "--tokens", str(values["tokens"])]
    words += ["--dtype", values["dtype"], "--seconds", f"{seconds:g}", "--rounds", str(rounds)]
    for pattern in chosen:
        words += ["--rival", pattern]
    return shlex.join(words)


@contextmanager
def _progress() -> Iterator[Callable[[str, Case], None]]:
    """Says on a terminal what is being measured; quiet in a pipe."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda rival, case: None
        return
    with console.status("") as status:
        yield lambda rival, case: status.update(
            f"{rival}: {case.size:,} {case.unit}, {case.setting}"
        )

"""The result of a command: its place is checked first, and it is written whole or not at all."""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.errors import UsageError
from attentropy.engine.output import place
from attentropy.engine.output.check import check_apart
from attentropy.engine.trace.bidi import isolated
from attentropy.report import streams
from attentropy.report.commands.endings import (
    PAGE_ENDINGS,
    TRACE_ENDINGS,
    Elsewhere,
    check_ending,
)
from attentropy.report.read.answer_words import is_chat, read_answer
from attentropy.report.text import for_terminal
from attentropy.report.units import format_bytes

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.findings.finding import Observation

_REASONING = 200  # characters of an answer's reasoning that are printed

Facts = Mapping[str, Any]
"""What a command says about its result, by name; JSON values."""

force_option = click.option("--force", is_flag=True, help="Overwrite an existing output.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
redact_option = click.option(
    "--redact-tokens", is_flag=True,
    help="Replace each text by its length and role, and each token id by a number.",
)  # fmt: skip


def is_standard_output(path: Path) -> bool:
    """Return whether an output is standard output, which is written as `-`."""
    return str(path) == "-"


def reserve(
    path: Path,
    *,
    force: bool,
    inputs: Iterable[str | Path | None] = (),
    endings: tuple[str, ...] = (),
    elsewhere: Elsewhere | None = None,
    as_json: bool = False,
    suffix: str = "",
) -> Path:
    """Check that `path` can be written, and let no other run write there until the command ends.

    Returns it. Raises `UsageError`, and `AttentropyError` where another run writes there. No input
    of the command is ever replaced, not even with `force`: neither `path` nor what it links to may
    be one of `inputs`, contain one, or lie within the store of a trace.
    endings: those of which the name must have one, if any. elsewhere: what writes the others.
    Standard output is for one file: not for a trace, and not together with `as_json`. suffix: the
    longest that the command adds to the name.
    """
    if is_standard_output(path):
        _check_standard_output(endings, as_json=as_json)
        return path
    inputs = [*inputs]
    check_apart(path, inputs)  # before its ending: it tells more
    if endings:
        check_ending(path, endings, elsewhere or {})
    click.get_current_context().with_resource(
        place.reserve(path, force=force, inputs=inputs, suffix=suffix)
    )
    return path


def _check_standard_output(endings: tuple[str, ...], *, as_json: bool) -> None:
    if endings == TRACE_ENDINGS:
        raise UsageError(
            "a trace cannot be written to standard output; name it NAME.zarr or NAME.zarr.zip"
        )
    if streams.is_output_closed():
        raise UsageError("standard output is closed; name a file with -o")
    if as_json:
        raise UsageError("-o - and --json both write to standard output; leave one of them out")


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step; `-` is standard output."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step; `-` is standard output."""
    if is_standard_output(path):
        streams.write_bytes(data)
        return
    with place.reserve(path, force=True) as here:
        here.write(data)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, which is removed at the end."""
    if is_standard_output(path):
        with tempfile.TemporaryDirectory(prefix="attentropy-") as folder:
            yield Path(folder)
        return
    with place.reserve(path, force=True) as here:
        yield here.folder("run")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return sum(file.stat().st_size for file in files)


def print_result(path: Path, facts: Facts, *, as_json: bool, then: str = "") -> None:
    """Print path and size of the result, or these and `facts` as one JSON object.

    then: what to do with it, a sentence.
    """
    if is_standard_output(path):
        return
    size = size_of(path)
    if as_json:
        click.echo(json_line({"path": str(path), "bytes": size, **facts}))
        return
    click.echo(f"Wrote {for_terminal(str(path))} ({format_bytes(size)}).{then and f' {then}'}")


def next_step(path: Path) -> str:
    """Return what to do with a page or a store that a command wrote."""
    if path.name.lower().endswith(PAGE_ENDINGS):
        return "Open it in a browser."
    return f"Next: attentropy render {for_terminal(shlex.quote(str(path)))}"


def say(text: str, target: Path) -> None:
    """Print a line for people, on standard error where standard output is the target."""
    click.echo(text, err=is_standard_output(target))


def say_answer(trace: Trace, target: Path) -> None:
    """Print the answer of the model with the start of its reasoning, and whether it was cut."""
    answer = read_answer(trace)
    if answer is None:
        return
    steps = trace.dataset.sizes.get("step", 0)
    is_open = str(trace["role"][-1]) == "reasoning"
    first = "the first token" if steps == 1 else f"the first {steps} tokens"
    cut = f" … ({first}; see --max-new-tokens)" if answer.is_cut else ""
    if answer.reasoning:
        rest = "" if len(answer.reasoning) <= _REASONING else " …"
        reasoning = isolated(for_terminal(answer.reasoning[:_REASONING].rstrip()))
        say(f"Reasoning: {reasoning}{rest}{cut if is_open else ''}", target)
    if not is_open:
        says = "Answer" if answer.is_chat else "Continues with"
        say(f"{says}: {isolated(for_terminal(answer.text)) or '(no text)'}{cut}", target)


def answer_facts(trace: Trace) -> Facts:
    """Return the answer's text, whether it was cut, and the text of its reasoning if any.

    "chat" is among them, and false, where a text without a chat template was continued.
    """
    facts: dict[str, Any] = {"answer": trace.attrs.get("answer")}
    if trace.attrs.get("answer_is_cut") is not None:
        facts["answer_is_cut"] = trace.attrs["answer_is_cut"]
    if read_answer(trace) is not None and not is_chat(trace):
        facts["chat"] = False
    if trace.attrs.get("reasoning"):
        facts["reasoning"] = trace.attrs["reasoning"]
    return facts


def finding_facts(trace: Trace, findings: Iterable[Observation]) -> Facts:
    """Return the findings, and apart from them what is known of the model's own heads."""
    from attentropy.report.findings.scored_heads import model_heads

    return {
        "observations": [finding.to_json() for finding in findings],
        "model_heads": [fact.to_json() for fact in model_heads(trace)],
    }


def print_findings(findings: Iterable[Observation], target: Path) -> None:
    """Print one line per finding."""
    for finding in findings:
        say(f"- {for_terminal(finding.text)}", target)


def json_line(facts: Facts) -> str:
    """Return one JSON object that is safe to print on a terminal.

    Characters that could move the cursor or reverse the text, or that standard output lacks, are
    written as \\u…, and a number that is not finite becomes null.
    """
    text = json.dumps(_finite(facts), ensure_ascii=False, allow_nan=False)
    return "".join(c if _is_plain(c) else _escape(c) for c in text)


def _finite(value: Any) -> Any:
    """Return the JSON value with null for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _is_plain(character: str) -> bool:
    own = streams.encoding_of_output()
    return for_terminal(character) == character == streams.showable(character, own)


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]

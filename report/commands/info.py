"""`attentropy info`: describes this machine, a model and its cost, or a trace."""

from __future__ import annotations

import contextlib
import math
import platform
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attentropy.engine.errors import UsageError, install_command
from attentropy.report.commands.arguments import run_arguments
from attentropy.report.commands.context_facts import context_facts, context_lines
from attentropy.report.commands.endings import STORE_ENDINGS
from attentropy.report.commands.examples import examples
from attentropy.report.commands.info_text import describe_lines, prediction_lines
from attentropy.report.commands.libraries import import_libraries
from attentropy.report.commands.option_names import option_keys
from attentropy.report.commands.options import info_options, run_option
from attentropy.report.commands.output import Facts, answer_facts, json_line, size_of
from attentropy.report.commands.page_options import max_cells_option
from attentropy.report.commands.quantities import TokenCount
from attentropy.report.commands.source_facts import source_counts
from attentropy.report.commands.verified import print_verification
from attentropy.report.text import for_terminal
from attentropy.report.units import format_bytes

if TYPE_CHECKING:
    from attentropy.engine.trace.dataset import Trace
    from attentropy.report.compare.difference import Difference

_PACKAGES = ("attentropy", "torch", "triton", "transformers", "altair", "vl-convert-python", "zarr")

_HELP = """\
Show versions, devices and the attention implementation of this machine. For a MODEL, show
its architecture (only its configuration is loaded); with --tokens, the memory, time and disk
space that a run takes (without MODEL: a run of the embedded model). For a TRACE (`.zarr`,
`.zarr.zip`, `.partial`) or a saved comparison, show its contents; with --verify, check that
each of its values is one that its definition allows (exit code 1 if one is not)."""
_EXAMPLES = examples(
    "attentropy info",
    "attentropy info Qwen/Qwen3-0.6B --tokens 128k",
    "attentropy info trace.zarr.zip",
    "attentropy info trace.zarr.zip --verify",
)


@click.command("info", help=_HELP, epilog=_EXAMPLES)
@click.argument("subject", required=False, metavar="[MODEL|TRACE]")
@run_option("--revision")
@click.option(
    "--tokens", type=TokenCount(), metavar="N",
    help="Prompt length, such as 128k, for which to predict memory, time and disk space, with "
    "the options of extract below.",
)  # fmt: skip
@info_options
@max_cells_option
@click.option(
    "--verify",
    is_flag=True,
    help="Check all values of a trace or a saved comparison, and name each that is impossible.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    subject: str | None,
    revision: str | None,
    tokens: int | None,
    max_cells: int | None,
    verify: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Print facts about this machine, a model or a trace."""
    has_options = any(value not in (None, ()) for value in options.values())
    if has_options and tokens is None:
        raise UsageError("these options need a prompt length; add --tokens N")
    if max_cells is not None and not (subject and _is_store(subject)):
        raise UsageError("--max-cells applies to a trace")
    if verify:
        if subject is None or tokens is not None or not _is_store(subject):
            raise UsageError("--verify applies to a trace or a saved comparison")
        print_verification(Path(subject), max_cells, as_json=as_json)
        return
    if subject is None and tokens is None:
        facts = _machine_facts()
    elif subject is not None and _is_store(subject):
        if tokens is not None:
            raise UsageError("--tokens applies to a model; a trace has its own token count")
        facts = _store_facts(Path(subject), max_cells, for_people=not as_json)
    else:
        import_libraries("describing a model", "torch", "transformers")
        from attentropy.engine.cost.predict import describe

        facts = option_keys(
            describe(subject, revision=revision, tokens=tokens, **run_arguments(options))
        )
    if as_json:
        click.echo(json_line(facts))
        return
    lines = prediction_lines(facts) if tokens is not None else describe_lines(facts)
    for line in lines:
        click.echo(line)
    click.echo(f"\n{_next_step(subject, tokens)}")


def _is_store(subject: str) -> bool:
    return subject.rstrip("/").endswith(STORE_ENDINGS)


def _next_step(subject: str | None, tokens: int | None) -> str:
    """Return the command lines that a reader of the facts may want next."""
    if subject is None and tokens is None:
        return (
            "Next: attentropy report                     the embedded model\n"
            '      attentropy report MODEL -p "TEXT"     your own model'
        )
    model = "" if subject is None else f" {for_terminal(shlex.quote(subject))}"
    if subject is not None and _is_store(subject):
        return f"Next: attentropy render{model}{' --partial' * subject.endswith('.partial')}"
    if tokens is None:
        return f"Next: attentropy info{model} --tokens 4k     what a run over 4,096 tokens takes"
    return f"Next: attentropy report{model} -f PROMPT.txt"


def _machine_facts() -> Facts:
    """Return versions, devices, and which implementation of attention would run."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if find_spec("torch") is None or find_spec("transformers") is None:
        facts["run"] = f"render and info only; to run models: {install_command('extract')}"
        return facts
    import_libraries("describing the machine", "torch")
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts["devices"] = [*gpus, _cpu(torch.get_num_threads())]
    from attentropy.engine.cost.predict import describe

    facts["attention"] = _gpu_attention() if gpus else _cpu_attention()
    facts["embedded model"] = describe()
    return facts


def _gpu_attention() -> str:
    from attentropy.kernels.choice import has_triton

    if has_triton():
        return "triton"
    if sys.platform != "linux":
        return "portable"
    return f"portable; the GPU's kernels need triton: {install_command('gpu')}"


def _cpu_attention() -> str:
    """Return whether the C code runs; it is compiled now if it never was, to know that."""
    from attentropy.kernels.native import library

    if reason := library.missing():
        return f"portable, since the faster C code cannot run: {reason}"
    return f"native, C code built by {library.loaded().compiler}"


def _cpu(threads: int) -> str:
    return f"cpu ({threads} thread{'s' * (threads != 1)})"


def _store_facts(path: Path, max_cells: int | None, *, for_people: bool) -> Facts:
    """Return what a trace or a saved comparison contains, to print or as JSON."""
    from attentropy.report.compare import stored
    from attentropy.report.compare.difference import Difference

    context = context_lines if for_people else context_facts
    partial = path.name.endswith(".partial")
    trace = stored.open(path, partial=partial, max_cells=max_cells)
    size = format_bytes(size_of(path))
    if isinstance(trace, Difference):
        return _comparison_facts(path.name, size, trace, context)
    dataset = trace.dataset
    return {
        "trace": path.name,
        "size": size,
        **({"unfinished": trace.attrs["partial"]} if partial else {}),
        "tokens": trace.prompt_tokens,
        "answer tokens": len(trace.tokens) - trace.prompt_tokens,
        **_unit_counts(trace),
        **answer_facts(trace),
        **source_counts(trace),
        **_perplexity_facts(trace),
        **context(trace),
        "dimensions": {str(name): int(size) for name, size in dataset.sizes.items()},
        "variables": sorted(str(name) for name in dataset.data_vars),
        "model": trace.attrs.get("model"),
        "versions": trace.attrs.get("versions"),
        "notes": trace.attrs.get("notes"),
    }


def _perplexity_facts(trace: Trace) -> Facts:
    """Return the perplexity of each group of tokens; nothing where the trace has no probability."""
    from attentropy.report.read.perplexity import perplexities

    facts = {name: _rounded(one.value) for name, one in perplexities(trace).items()}
    return {"perplexity": facts} if facts else {}


def _rounded(value: float) -> float | int:
    """Return a value to three digits; a large one as a whole number, so without an exponent."""
    return round(value) if 100 <= value < math.inf else round(value, 3)


def _unit_counts(trace: Trace) -> Facts:
    """Return how many words, messages and segments a trace has, of those that it has."""
    from attentropy.engine.trace.units import units_of

    counts = {}
    for unit in ("word", "message", "segment"):
        with contextlib.suppress(UsageError):
            counts[f"{unit}s"] = len(units_of(trace, unit).names)
    return counts


def _comparison_facts(
    name: str, size: str, difference: Difference, context: Callable[[Trace], Facts]
) -> Facts:
    """Return of which two traces a comparison is, and what it contains.

    context: returns the facts on how far back the heads of a trace attend.
    """
    sides = zip(("A", "B"), difference.names, difference.traces, strict=True)
    return {
        "comparison": name,
        "size": size,
        **{
            side: {
                "name": own,
                "tokens": trace.prompt_tokens,
                **answer_facts(trace),
                **context(trace),
                "model": trace.attrs.get("model"),
                "versions": trace.attrs.get("versions"),
                "notes": trace.attrs.get("notes"),
            }
            for side, own, trace in sides
        },
        "aligned_by": "token texts" if difference.by_text else "token ids",
        "tokens in both": int(difference.both.sum()),
        "variables": sorted(str(variable) for variable in difference.dataset.data_vars),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

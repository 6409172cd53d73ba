"""`attentropy info`: what would run here, what a model is, what a trace holds."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.report.commands.options import given_sites
from attentropy.report.commands.output import json_line, size_of
from attentropy.report.commands.tokens import Size
from attentropy.report.text import plain
from attentropy.report.units import human

_PACKAGES = ("attentropy", "torch", "triton", "transformers", "altair", "vl-convert-python", "zarr")


@click.command("info")
@click.argument("subject", required=False, metavar="[MODEL|TRACE]")
@click.option("--revision", metavar="REV", help="Branch, tag or commit of a hub model.")
@click.option(
    "--tokens", type=Size(), metavar="N",
    help="Say what a run over a prompt of N tokens, such as 128k, takes: memory, time, the trace's "
    "size on a disk, the lens's part. The options below are those of extract.",
)  # fmt: skip
@click.option("--stats", metavar="NAMES", help="Kept of attention beside its entropy.")
@click.option("--layers", metavar="LAYERS", help="Layers whose attention is kept.")
@click.option("--heads", metavar="HEADS", help="Heads that are kept: all, some, or their mean.")
@click.option("--map-tile", metavar="SIZE", help="Of the token × token map.")
@click.option("--window", "windows", metavar="Q0:Q1,K0:K1", multiple=True, help="Exact weights.")
@click.option(
    "--lens", metavar="SITES", help="What the lens reads: residual, attention, mlp, none."
)
@click.option("--lens-layers", metavar="LAYERS", help="Layers that it reads.")
@click.option("--lens-positions", metavar="POSITIONS", help="Positions that it reads.")
@click.option("--chunk", type=Size(), metavar="TOKENS", help="Tokens read at a time.")
@click.option("--storage", type=click.Choice(["float32", "float16"]), help="Of the trace's values.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(
    subject: str | None, revision: str | None, tokens: int | None, as_json: bool, **options: Any
) -> None:
    """Without an argument: versions, devices, and which implementation would run. With a MODEL:
    its sizes, from its configuration alone, and with --tokens what a run takes (without a MODEL:
    the embedded one's). With a TRACE (`.zarr`, `.zarr.zip`, `.partial`): what it
    holds."""
    chosen = {name: value for name, value in options.items() if value not in (None, ())}
    if chosen and tokens is None:
        raise UsageError("what a run keeps is predicted for a prompt: give --tokens N too")
    if subject is None and tokens is None:
        facts = _machine()
    elif subject is not None and subject.endswith((".zarr", ".zarr.zip", ".partial")):
        if tokens is not None:
            raise UsageError("--tokens is for a model; a trace has its own")
        facts = _trace(Path(subject))
    else:
        _need_torch()
        from attentropy.engine.cost.predict import describe

        if "stats" in chosen:
            chosen["stats"] = tuple(name.strip() for name in chosen["stats"].split(","))
        if "lens" in chosen:
            chosen["sites"] = given_sites(chosen.pop("lens"))
        facts = describe(subject, revision=revision, tokens=tokens, **chosen)
    if as_json:
        click.echo(json_line(facts))
        return
    _print(facts)


def _machine() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in _PACKAGES},
    }
    if find_spec("torch") is None or find_spec("transformers") is None:
        facts["run"] = "render and info only; to run models: pip install 'attentropy[extract]'"
        return facts
    import torch

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts["devices"] = [*gpus, f"cpu ({torch.get_num_threads()} threads)"]
    facts["attention"] = "triton" if gpus and find_spec("triton") else "portable"
    from attentropy.engine.cost.predict import describe

    facts["embedded model"] = describe()
    return facts


def _need_torch() -> None:
    for name in ("torch", "transformers"):
        if find_spec(name) is None:
            raise AttentropyError(
                f"describing a model needs {name}: pip install 'attentropy[extract]'"
            )


def _trace(path: Path) -> dict[str, Any]:
    from attentropy.engine.trace.dataset import Trace

    partial = path.name.endswith(".partial")
    trace = Trace.open(path, partial=partial)
    dataset = trace.dataset
    return {
        "trace": path.name,
        "size": human(size_of(path)),
        **({"unfinished": trace.attrs["partial"]} if partial else {}),
        "tokens": len(trace.tokens),
        "answer": trace.attrs.get("answer"),
        "dimensions": {str(name): int(size) for name, size in dataset.sizes.items()},
        "variables": sorted(str(name) for name in dataset.data_vars),
        "model": trace.attrs.get("model"),
        "versions": trace.attrs.get("versions"),
        "notes": trace.attrs.get("notes"),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _print(facts: dict[str, Any], indent: str = "", unit: str = "") -> None:
    """Lines of name and value; `unit` is "bytes" where the names do not end with it."""
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if isinstance(value, dict):
            click.echo(f"{indent}{plain(name)}")
            _print(value, indent + "  ", "bytes" if name.endswith("_bytes") else "")
            continue
        if isinstance(value, list):
            value = ", ".join(str(item) for item in value) or "none"
        elif isinstance(value, float):
            value = f"{value:.3g}"
        elif value is not None and (unit or name.endswith("_bytes")):
            value = human(value)
        shown = "not there" if value is None else plain(str(value))
        click.echo(f"{indent}{plain(name):<{width}}  {shown}")

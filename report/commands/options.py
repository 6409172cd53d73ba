"""The options of a run, declared once for every command that has them.

`report` and `extract` have all of them, `profile` those of the model and the prompt, and `info`
those that decide what a run costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import click

from attentropy.engine.trace.statistics import KEPT_STATS, OPTIONAL_STATS
from attentropy.report.commands.quantities import ByteSize, TokenCount

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class RunOption:
    """One option of a run.

    `attributes` are further arguments of `click.option`. `info_help` is the help text in `info`,
    where the option has no default; None if `info` does not have the option. `info_type` is its
    type there if that differs.
    """

    flags: tuple[str, ...]
    help: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None
    info_help: str | None = None
    info_type: TokenCount | None = None

    def decorate(self, function: F) -> F:
        """Add the option to a command that runs a model."""
        attributes = dict(self.attributes)
        if self.default is not None:
            attributes |= {"default": self.default, "show_default": True}
        return click.option(*self.flags, help=self.help, **attributes)(function)

    def decorate_info(self, function: F) -> F:
        """Add the option to `info`."""
        attributes = dict(self.attributes)
        if self.info_type is not None:
            attributes["type"] = self.info_type
        return click.option(*self.flags, help=self.info_help, **attributes)(function)


_MODEL = click.argument("model", required=False)
_SUBJECT = (
    RunOption(
        ("-p", "--prompt"),
        help="The prompt; - reads standard input (here and in -f, -m and --ids).",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("-f", "--file"),
        help="A file with the prompt.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("-m", "--messages"),
        help="A file with chat messages, tool turns too: a JSON list of role and content, "
        '{"messages": [...]}, or one message per line (JSONL).',
        attributes={"metavar": "JSON"},
    ),
    RunOption(
        ("--ids",),
        help="A file with token ids: a JSON list, or numbers separated by commas or blanks.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("--system",),
        help="A system turn before the prompt.",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("--no-chat-template",),
        help="Read the prompt as raw text.",
        attributes={"is_flag": True},
    ),
    RunOption(
        ("--revision",),
        help="Branch, tag or commit of a hub model.",
        attributes={"metavar": "REV"},
    ),
    RunOption(
        ("--dtype",),
        help="Of the weights; by default the checkpoint's own, float32 on a CPU.",
        attributes={"type": click.Choice(["float32", "bfloat16", "float16"])},
    ),
    RunOption(
        ("--device",),
        help="cpu, cuda, cuda:1 …, or auto for all there are; default: cuda where there is one.",
        attributes={"metavar": "NAME"},
    ),
    RunOption(
        ("--quantize",),
        help="Load the weights in fewer bits (needs bitsandbytes).",
        attributes={"type": click.Choice(["4bit", "8bit"])},
    ),
)
_RUN = (
    RunOption(
        ("--stats",),
        help=f"Kept of attention beside its entropy: {', '.join(OPTIONAL_STATS)}; or all; "
        f"default all but {', '.join(name for name in OPTIONAL_STATS if name not in KEPT_STATS)}.",
        attributes={"metavar": "NAMES"},
        info_help="Kept of attention beside its entropy.",
    ),
    RunOption(
        ("--layers",),
        help="Layers whose attention is kept: 0,5,10: or -4:.",
        attributes={"metavar": "LAYERS"},
        info_help="Layers whose attention is kept.",
    ),
    RunOption(
        ("--heads",),
        help="Heads that are kept: all, some (0,3,5:), or their mean.",
        attributes={"metavar": "HEADS"},
        default="all",
        info_help="Heads that are kept: all, some, or their mean.",
    ),
    RunOption(
        ("--lens",),
        help="What the logit lens reads in each layer: residual, attention, mlp, all or none.",
        attributes={"metavar": "SITES"},
        default="residual",
        info_help="What the lens reads: residual, attention, mlp, none.",
    ),
    RunOption(
        ("--lens-layers",),
        help="Layers that it reads: 0,5,10: or -4:; default all.",
        attributes={"metavar": "LAYERS"},
        info_help="Layers that it reads.",
    ),
    RunOption(
        ("--lens-positions",),
        help="Positions that it reads: -512:, 0:100, template or all; default all up to a budget.",
        attributes={"metavar": "POSITIONS"},
        info_help="Positions that it reads.",
    ),
    RunOption(
        ("--map-tile",),
        help="Tokens to a tile of the token × token map: 64, 64x32 (queries by keys), or "
        "none; auto: a map of at most 16 MiB where the prompt has more than 512 "
        "tokens.",
        attributes={"metavar": "SIZE"},
        default="auto",
        info_help="Of the token × token map.",
    ),
    RunOption(
        ("--map-heads",),
        help="The map of the heads' mean, or one for each head.",
        attributes={"type": click.Choice(["mean", "all"])},
        default="mean",
    ),
    RunOption(
        ("--window", "windows"),
        help="Keep the exact attention weights of these queries and keys, as in "
        "-64:,0:512; up to eight times.",
        attributes={"metavar": "Q0:Q1,K0:K1", "multiple": True},
        info_help="Exact weights.",
    ),
    RunOption(
        ("--scores/--no-scores",),
        help="Score the heads (sink, local, previous, induction, diffuse).",
        default=True,
    ),
    RunOption(
        ("--max-new-tokens",),
        help="Length of the greedy answer.",
        attributes={"type": click.IntRange(0)},
        default=8,
    ),
    RunOption(
        ("--top-k",),
        help="Likeliest tokens kept per cell.",
        attributes={"type": click.IntRange(1, 32)},
        default=5,
    ),
    RunOption(
        ("--chunk",),
        help="Tokens read at a time; default from the memory that is free.",
        attributes={"type": click.IntRange(1), "metavar": "TOKENS"},
        info_help="Tokens read at a time.",
        info_type=TokenCount(),
    ),
    RunOption(
        ("--memory",),
        help="What the run may hold beside weights and cache: 2GiB; it decides the chunk.",
        attributes={"type": ByteSize(), "metavar": "BYTES"},
    ),
    RunOption(
        ("--storage",),
        help="Of the values in the trace; float16 says how far off it is.",
        attributes={"type": click.Choice(["float32", "float16"])},
        default="float32",
        info_help="Of the trace's values.",
    ),
)
# In the order of `info --help`.
_INFO_FLAGS = (
    "--stats",
    "--layers",
    "--heads",
    "--map-tile",
    "--window",
    "--lens",
    "--lens-layers",
    "--lens-positions",
    "--chunk",
    "--storage",
)


def subject_options(function: F) -> F:
    """Add the options that name the model and the prompt."""
    for option in reversed(_SUBJECT):
        function = option.decorate(function)
    return _MODEL(function)


def run_options(function: F) -> F:
    """Add all options of a run, in the order in which `--help` shows them."""
    for option in reversed(_RUN):
        function = option.decorate(function)
    return subject_options(function)


def info_options(function: F) -> F:
    """Add the options of a run that decide what it costs, for `info`."""
    by_flag = {option.flags[0]: option for option in _RUN}
    for flag in reversed(_INFO_FLAGS):
        function = by_flag[flag].decorate_info(function)
    return function

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


_LEFT_OUT = [name for name in OPTIONAL_STATS if name not in KEPT_STATS]
LENS_HELP = (
    "Outputs that the logit lens reads in each layer: residual, attention, mlp, all or none."
)

_MODEL = click.argument("model", required=False)
_SUBJECT = (
    RunOption(
        ("-p", "--prompt"),
        help="Prompt text; - reads it from standard input (also for -f, -m and --ids).",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("-f", "--file"),
        help="Text file with the prompt.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("-m", "--messages"),
        help="File with chat messages, including tool turns: a JSON list of messages with role and "
        'content, {"messages": [...]}, or one message per line (JSONL).',
        attributes={"metavar": "JSON"},
    ),
    RunOption(
        ("--ids",),
        help="File with token ids: a JSON list, or numbers separated by commas or whitespace.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("--system",),
        help="System message to put before the prompt.",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("--no-chat-template",),
        help="Use the prompt as raw text, without the chat template.",
        attributes={"is_flag": True},
    ),
    RunOption(
        ("--revision",),
        help="Branch, tag or commit of a model on the hub.",
        attributes={"metavar": "REV"},
    ),
    RunOption(
        ("--dtype",),
        help="Weight dtype.  [default: the checkpoint's; float32 on a CPU]",
        attributes={"type": click.Choice(["float32", "bfloat16", "float16"])},
    ),
    RunOption(
        ("--device",),
        help="Device: cpu, cuda or cuda:1; auto spreads the layers over all GPUs.  "
        "[default: cuda if available]",
        attributes={"metavar": "NAME"},
    ),
    RunOption(
        ("--quantize",),
        help="Quantize the weights (requires bitsandbytes).",
        attributes={"type": click.Choice(["4bit", "8bit"])},
    ),
)
_RUN = (
    RunOption(
        ("--stats",),
        help=f"Attention statistics to record besides entropy: {', '.join(OPTIONAL_STATS)}, or "
        f"all.  [default: all except {', '.join(_LEFT_OUT)}]",
        attributes={"metavar": "NAMES"},
        info_help="Attention statistics to record besides entropy.",
    ),
    RunOption(
        ("--layers",),
        help="Layers whose attention is recorded, such as 0,5,10: or -4:.  [default: all]",
        attributes={"metavar": "LAYERS"},
        info_help="Layers whose attention is recorded.",
    ),
    RunOption(
        ("--heads",),
        help="Heads to record: all, a selection such as 0,3,5:, or mean for their mean.",
        attributes={"metavar": "HEADS"},
        default="all",
        info_help="Heads to record: all, a selection, or mean for their mean.",
    ),
    RunOption(
        ("--lens",),
        help=LENS_HELP,
        attributes={"metavar": "SITES"},
        default="residual",
        info_help=LENS_HELP,
    ),
    RunOption(
        ("--lens-layers",),
        help="Layers read by the logit lens, such as 0,5,10: or -4:.  [default: all]",
        attributes={"metavar": "LAYERS"},
        info_help="Layers read by the logit lens.",
    ),
    RunOption(
        ("--lens-positions",),
        help="Positions read by the logit lens: a range such as -512: or 0:100, template, or all.  "
        "[default: all, up to a compute budget]",
        attributes={"metavar": "POSITIONS"},
        info_help="Positions read by the logit lens.",
    ),
    RunOption(
        ("--map-tile",),
        help="Tile size, in tokens, of the attention map: 64, 64x32 (queries × keys), or none; "
        "auto chooses a map of at most 16 MiB for prompts longer than 512 tokens.",
        attributes={"metavar": "SIZE"},
        default="auto",
        info_help="Tile size, in tokens, of the attention map.",
    ),
    RunOption(
        ("--map-heads",),
        help="One attention map of the mean over heads, or one per head.",
        attributes={"type": click.Choice(["mean", "all"])},
        default="mean",
    ),
    RunOption(
        ("--window", "windows"),
        help="Exact attention weights to record, as queries,keys: -64:,0:512. Repeatable, up to "
        "eight times.",
        attributes={"metavar": "Q0:Q1,K0:K1", "multiple": True},
        info_help="Exact attention weights to record.",
    ),
    RunOption(
        ("--scores/--no-scores",),
        help="Score each head (sink, local, previous, induction, diffuse).",
        default=True,
    ),
    RunOption(
        ("--max-new-tokens",),
        help="Maximum length of the generated answer, in tokens.",
        attributes={"type": click.IntRange(0)},
        default=8,
    ),
    RunOption(
        ("--top-k",),
        help="Number of most likely tokens to record per lens cell.",
        attributes={"type": click.IntRange(1, 32)},
        default=5,
    ),
    RunOption(
        ("--chunk",),
        help="Tokens per forward pass.  [default: chosen from the free memory]",
        attributes={"type": click.IntRange(1), "metavar": "TOKENS"},
        info_help="Tokens per forward pass.",
        info_type=TokenCount(),
    ),
    RunOption(
        ("--memory",),
        help="Memory budget, such as 2GiB, excluding weights and KV cache (sets the chunk size).",
        attributes={"type": ByteSize(), "metavar": "BYTES"},
    ),
    RunOption(
        ("--storage",),
        help="Storage dtype of the trace; with float16 the trace also has the rounding errors.",
        attributes={"type": click.Choice(["float32", "float16"])},
        default="float32",
        info_help="Storage dtype of the trace.",
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

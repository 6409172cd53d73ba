"""The options of a run, declared once for every command that has them.

`report` and `extract` have all of them, `profile` those of the model and the prompt, and `info`
those that decide what a run costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from attentropy.engine.trace.statistics import KEPT_STATS, OPTIONAL_STATS
from attentropy.report.commands.quantities import ByteSize, TokenCount
from attentropy.report.commands.run_option import F, RunOption
from attentropy.report.commands.source_options import SOURCES

_LEFT_OUT = [name for name in OPTIONAL_STATS if name not in KEPT_STATS]

_MODEL = click.argument("model", required=False)
_SUBJECT = (
    RunOption(
        ("-p", "--prompt"),
        help="Prompt text; - reads it from standard input (also for -f, -m and --ids).  [default: "
        "an example question, for the embedded model only]",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("-f", "--file"),
        help="Text file with the prompt.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("--question",),
        help="Question about the prompt: document, blank line and question become one user turn.",
        attributes={"metavar": "TEXT"},
    ),
    RunOption(
        ("-m", "--messages"),
        help="File with chat messages, including tool turns: a JSON list of messages with role and "
        'content, {"messages": [...], "tools": [...]}, or one message per line (JSONL).',
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
        ("--template-args",),
        help="JSON object with arguments for the chat template: '{\"enable_thinking\": false}'.",
        attributes={"metavar": "JSON"},
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
        ("--segments",),
        help='JSON file that names parts of the prompt, each a row of the report: {"name": '
        '[start, stop]} in characters, or {"name": "its words"}.',
        attributes={"metavar": "FILE"},
    ),
    *SOURCES,
    RunOption(
        ("--stats",),
        help=f"Attention statistics to record besides entropy: {', '.join(OPTIONAL_STATS)}, or "
        f"all; none for the lens alone.  [default: all except {', '.join(_LEFT_OUT)}]",
        attributes={"metavar": "NAMES"},
    ),
    RunOption(
        ("--layers",),
        help="Layers whose attention is recorded, such as 0,5,10: or -4:.  [default: all]",
        attributes={"metavar": "LAYERS"},
    ),
    RunOption(
        ("--heads",),
        help="Heads to record: all, a selection such as 0,3,5:, or mean for their mean.",
        attributes={"metavar": "HEADS"},
        default="all",
    ),
    RunOption(
        ("--lens",),
        help="Outputs that the logit lens reads in each layer: residual, attention, mlp, all or "
        "none.",
        attributes={"metavar": "SITES"},
        default="residual",
    ),
    RunOption(
        ("--lens-layers",),
        help="Layers read by the logit lens, such as 0,5,10: or -4:.  [default: all]",
        attributes={"metavar": "LAYERS"},
    ),
    RunOption(
        ("--lens-positions",),
        help="Positions read by the logit lens: a range such as -512: or 0:100, template, or all.  "
        "[default: all, up to a compute budget]",
        attributes={"metavar": "POSITIONS"},
    ),
    RunOption(
        ("--lens-translator",),
        help="Translator written by `attentropy lens fit`: the lens also reads the residual stream "
        "through it, which predicts the next token but cannot show rehearsal.",
        attributes={"metavar": "FILE"},
    ),
    RunOption(
        ("--map-tile",),
        help="Tile size, in tokens, of the attention map: 64, 64x32 (queries × keys), or none; "
        "auto chooses a map of at most 16 MiB for prompts longer than 512 tokens.",
        attributes={"metavar": "SIZE"},
        default="auto",
    ),
    RunOption(
        ("--map-heads",),
        help="Attention map of the mean over heads, or one map per head.",
        attributes={"type": click.Choice(["mean", "all"])},
        default="mean",
    ),
    RunOption(
        ("--window", "windows"),
        help="Exact attention weights to record, as queries,keys: -64:,0:512. Repeatable, up to "
        "eight times.",
        attributes={"metavar": "Q0:Q1,K0:K1", "multiple": True},
    ),
    RunOption(
        ("--scores/--no-scores",),
        help="Score each head (sink, local, previous, induction, diffuse).",
        default=True,
    ),
    RunOption(
        ("--thumbnails/--no-thumbnails",),
        help="Picture of each head's attention in at most 32 × 32 tiles.  [default: up to 32,768 "
        "tokens and 1,024 heads]",
        attributes={"default": None},
    ),
    RunOption(
        ("--context",),
        help="Sum each head's attention by distance: how much of the context it uses, and what a "
        "KV cache with a window per head would take.",
        attributes={"is_flag": True},
    ),
    RunOption(
        ("--no-reference",),
        help="Do not read the placebo questions, without which no rehearsal can be tested.",
        attributes={"is_flag": True},
    ),
    RunOption(
        ("--max-new-tokens",),
        help="Maximum length of the generated answer, in tokens; the answer is recorded, too.",
        attributes={"type": click.IntRange(0), "metavar": "TOKENS"},
        default=32,
    ),
    RunOption(
        ("--temperature",),
        help="Temperature at which the answer is sampled.  [default: none, greedy decoding]",
        attributes={"type": click.FloatRange(0), "metavar": "T"},
    ),
    RunOption(
        ("--top-p",),
        help="Nucleus sampling: the fewest tokens that together have this probability.  "
        "[default: 1, all tokens]",
        attributes={"type": click.FloatRange(0, 1, min_open=True), "metavar": "P"},
    ),
    RunOption(
        ("--seed",),
        help="Seed of the sampling.  [default: 0]",
        attributes={"type": click.IntRange(0), "metavar": "N"},
    ),
    RunOption(
        ("--top-k",),
        help="Number of most likely tokens to record per lens cell.",
        attributes={"type": click.IntRange(1, 32), "metavar": "K"},
        default=5,
    ),
    RunOption(
        ("--chunk",),
        help="Tokens per forward pass, such as 4k.  [default: chosen from the free memory]",
        attributes={"type": TokenCount(), "metavar": "TOKENS"},
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
    ),
)
# In the order of `info --help`.
_INFO_FLAGS = (
    "--stats",
    "--layers",
    "--heads",
    "--map-tile",
    "--window",
    "--thumbnails/--no-thumbnails",
    "--context",
    "--lens",
    "--lens-layers",
    "--lens-positions",
    "--lens-translator",
    "--no-reference",
    "--test-sources",
    "--max-new-tokens",
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


def run_option(flag: str, **changes: Any) -> Callable[[F], F]:
    """Return the decorator that adds the option `flag` alone, with some attributes changed."""
    return replace(_by_flag(flag), **changes).decorate


def info_options(function: F) -> F:
    """Add the options of a run that decide what it costs, for `info`."""
    for flag in reversed(_INFO_FLAGS):
        function = _by_flag(flag).decorate_info(function)
    return function


def _by_flag(flag: str) -> RunOption:
    return next(option for option in (*_SUBJECT, *_RUN) if flag in option.flags)

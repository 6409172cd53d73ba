"""The command line `attentropy`, whose commands are imported only when they are used."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import click

from attentropy.engine import failures
from attentropy.engine.errors import AttentropyError, Terminated, UsageError
from attentropy.engine.keeping import remains
from attentropy.engine.output.signals import as_exceptions
from attentropy.report import collecting, streams
from attentropy.report.commands.endings import STORE_ENDINGS
from attentropy.report.commands.option_names import option_words
from attentropy.report.processor_time import ends_in_words
from attentropy.report.text import for_terminal

_logger = logging.getLogger(__name__)

# Name -> its line in `--help`; the command itself is in report/commands/NAME.py.
_COMMANDS = {
    "report": "Run a model on a prompt and write the HTML report.",
    "extract": "Run a model on a prompt and write a trace.",
    "render": "Render a trace as an HTML report, without PyTorch.",
    "export": "Export one figure of a trace as SVG, PNG, PDF or CSV.",
    "compare": "Compare two traces, aligned by token.",
    "profile": "Profile time and memory per layer, and the cost of recording.",
    "lens": "Fit a lens that can be read at every layer of a model.",
    "bench": "Benchmark attention with entropy against alternatives.",
    "info": "Show versions and devices, a model's cost, or a trace's contents.",
    "explain": "Explain a term of the report, such as rehearsal or sink.",
}


class _LazyGroup(click.Group):
    """A group that shows its help without importing its commands.

    Each command takes --debug as the group does.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        with collecting.imports():
            module = import_module(f"attentropy.report.commands.{cmd_name}")
        command: click.Command = module.command
        inner = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *inner):
            if not any(parameter.name == "debug" for parameter in one.params):
                one.params.append(_debug_option(hidden=True))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}; {_suggestion(args[0])}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _suggestion(word: str) -> str:
    """Return what a word that is no command may have meant."""
    partial = " --partial" * word.endswith(".partial")
    if word.endswith(STORE_ENDINGS):
        return f"to draw a trace: attentropy render {shlex.quote(word)}{partial}"
    if close := get_close_matches(word.lower(), _COMMANDS, 1, 0.6):
        return f"did you mean {close[0]!r}?"
    if "/" in word or os.path.isdir(word):  # a hub id or a folder
        return f"to run a model: attentropy report {shlex.quote(word)}"
    return f"the commands are {', '.join(_COMMANDS)}"


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    try:
        number = version("attentropy")
    except PackageNotFoundError:
        number = "unknown"
    click.echo(f"attentropy {number}")
    ctx.exit()


@contextmanager
def _log_to_stderr() -> Iterator[None]:
    """Write the messages of the package's logger, from DEBUG on, to standard error."""
    logger = logging.getLogger("attentropy")
    level = logger.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _turn_debug_on(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    root = ctx.find_root()
    state = root.ensure_object(dict)
    if value and not state.get("debug"):
        state["debug"] = True
        root.with_resource(_log_to_stderr())


def _debug_option(*, hidden: bool = False) -> click.Option:
    return click.Option(
        ["--debug"], is_flag=True, is_eager=True, expose_value=False, callback=_turn_debug_on,
        hidden=hidden, help="Show the full traceback of an error (accepted anywhere).",
    )  # fmt: skip


@click.command(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: `attentropy report` runs the embedded model and writes report.html.",
)
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
    help="Show the version and exit.",
)  # fmt: skip
def attentropy() -> None:
    """Show where a language model is certain and where it is not, at any context length."""


attentropy.params.append(_debug_option())


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    The code is 0 for success, 1 for a failed run, 2 for bad usage, and 128 plus its number for a
    signal: 130 for an interruption (Ctrl-C), 143 for SIGTERM, 129 for SIGHUP, 141 where the reader
    of standard output has closed it. With `--debug` an error is raised instead.
    """
    is_process = arguments is None
    own = collecting.own_process() if is_process else nullcontext()
    with own, streams.installed(), _leftovers_logged():
        try:
            with as_exceptions(last=is_process), ends_in_words():
                return _run(sys.argv[1:] if arguments is None else arguments)
        except Terminated as error:
            reason = _joined(option_words(for_terminal(str(error))), error)
            click.echo(f"ended by {error.name}{reason and f': {reason}'}", err=True)
            return 128 + error.number


@contextmanager
def _leftovers_logged() -> Iterator[None]:
    """Log what Python says of objects that fail as they are deleted; the error itself is shown."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda leftover: _logger.debug("%s", leftover.exc_value)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
            yield
    finally:
        sys.unraisablehook = before


def _run(arguments: list[str]) -> int:
    """Run the command line; SIGTERM and SIGHUP end it with `Terminated`."""
    color = False if os.environ.get("NO_COLOR") else None
    state: dict[str, bool] = {}
    try:
        attentropy.main(arguments, "attentropy", standalone_mode=False, color=color, obj=state)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        click.echo(f"error: {for_terminal(_words_of(error))}", err=True)
        return 1 if not isinstance(error, click.UsageError) else 2
    except (click.Abort, KeyboardInterrupt) as error:
        cause = error.__cause__ or error  # click raises Abort from the interruption
        reason = _joined(option_words(for_terminal(str(cause))), cause)
        click.echo(f"interrupted: {reason}" if reason else "interrupted", err=True)
        return 130
    except streams.ReaderGone as error:
        if note := remains(error):
            click.echo(f"note: {for_terminal(note)}", err=True)
        return 141
    except Exception as error:
        if state.get("debug"):
            raise
        click.echo(f"error: {_one_line(error)}", err=True)
        return 2 if isinstance(error, UsageError) else 1
    except Terminated:
        raise
    except BaseException as error:  # a library in Rust that panics raises no Exception
        if state.get("debug") or failures.line(error) is None:
            raise
        click.echo(f"error: {_one_line(error)}", err=True)
        return 1
    return 0


def _words_of(error: click.ClickException) -> str:
    """Return click's message as one line, with the command whose help says more."""
    words = " ".join(error.format_message().split())
    if not isinstance(error, click.NoSuchOption | click.MissingParameter) or error.ctx is None:
        return words
    if isinstance(error, click.NoSuchOption) and error.ctx.parent is None:
        return f"{words.rstrip('.')}; a command comes first, such as: attentropy report"
    return (
        f"{words.rstrip('.')}{'' if words.endswith('?') else ';'} see {error.ctx.command_path} -h"
    )


def _one_line(error: BaseException) -> str:
    """Return an error in one line: its own words, those of `failures`, or a mistake's message."""
    text = for_terminal(" ".join(str(error).split()))
    if isinstance(error, AttentropyError):
        text = option_words(text)
    elif (line := failures.line(error)) is not None:
        text = for_terminal(line)
    else:
        text = f"{type(error).__name__}: {text[:200]} (add --debug for the traceback)"
    return _joined(text, error)


def _joined(text: str, error: BaseException) -> str:
    """Return a line and what the error's notes say is kept."""
    return "; ".join(part for part in (text, option_words(for_terminal(remains(error)))) if part)


if __name__ == "__main__":
    sys.exit(main())

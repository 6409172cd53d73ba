"""`attentropy explain`: says what a term of the page, of a message or of help means."""

from __future__ import annotations

import textwrap
from difflib import get_close_matches

import click

from attentropy.engine.errors import UsageError
from attentropy.report.commands.examples import examples
from attentropy.report.commands.output import json_line
from attentropy.report.glossary import TERMS, Term, all_names, find
from attentropy.report.text import for_terminal

_WIDTH = 88
_HELP = "Explain TERM, such as rehearsal. Without TERM, list all terms."


_EXAMPLES = examples(
    "attentropy explain",
    "attentropy explain rehearsal",
)


@click.command("explain", help=_HELP, epilog=_EXAMPLES)
@click.argument("words", metavar="[TERM]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(words: tuple[str, ...], as_json: bool) -> None:
    """Print a definition, or all terms."""
    terms = [_find(" ".join(words))] if words else list(TERMS)
    if as_json:
        click.echo(json_line({term.name: _facts(term) for term in terms}))
    elif words:
        click.echo(_explanation(terms[0]))
    else:
        width = max(len(term.name) for term in TERMS) + 2
        for term in TERMS:
            indent = " " * width
            line = textwrap.fill(
                term.definition, _WIDTH, initial_indent=f"{term.name:<{width}}",
                subsequent_indent=indent,
            )  # fmt: skip
            click.echo(line)


def _find(name: str) -> Term:
    """Return the term `name`. Raises `UsageError` with the nearest names for an unknown one."""
    term = find(name)
    if term is None:
        near = get_close_matches(name.casefold(), all_names(), 3, 0.6)
        near += [other for other in all_names() if name.casefold() in other.casefold()]
        hint = f"did you mean {' or '.join(dict.fromkeys(near[:3]))}?" if near else (
            "`attentropy explain` lists all terms"
        )  # fmt: skip
        raise UsageError(f"{for_terminal(name[:60])!r} is not in the glossary: {hint}")
    return term


def _explanation(term: Term) -> str:
    """Return a term as paragraphs: its names, its definition, more, and related terms."""
    also = f" (also: {', '.join(term.aliases)})" if term.aliases else ""
    parts = [f"{term.name}{also}", term.definition, term.more]
    if term.see:
        parts.append(f"See also: {', '.join(term.see)}")
    return "\n".join(textwrap.fill(part, _WIDTH) for part in parts if part)


def _facts(term: Term) -> dict[str, object]:
    """Return a term as JSON values."""
    return {
        "definition": term.definition,
        "more": term.more,
        "see": list(term.see),
        "aliases": list(term.aliases),
    }

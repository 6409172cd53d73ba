"""All words that a user reads, in one text: `python tests/read_aloud.py FILE`.

Messages and notes come from the code, with `‹name›` where a value stands; findings, captions and
tables come from pages of made-up traces; besides them the page's script, helps, glossary and
docstrings.
"""

from __future__ import annotations

import ast
import html
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("engine", "kernels", "report")
# What only developers run; its words are not a user's.
_DEVELOPERS = ("demo", "coverage")
_HELPS = (
    "help",
    "info_help",
    "epilog",
    "metavar",
    "_HELP",
    "_COMMANDS",
)  # gathered from click itself
_SCRIPT = re.compile(  # a comment, a regular expression, a string, and what opens and closes
    r"//[^\n]*|/\*[\s\S]*?\*/"
    r"|(?:(?<=[(,=:!&|?\n])|(?<=return)) ?/(?![/*])(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\n\[])+/"
    r"|(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')|[`{}]"
)
_TEMPLATE = re.compile(r"\\.|`|\$\{")
_BLOCKS = "p|li|h[1-6]|td|th|summary|figcaption|caption|label|option|button|div|section|title|tr"


class Words(NamedTuple):
    """One text that a user reads: its kind, where it is written or shown, and the text."""

    kind: str
    place: str
    text: str


def all_words() -> Iterator[Words]:
    """Yield everything that a user reads."""
    yield from messages()
    yield from script_texts()
    yield from template_texts()
    yield from page_texts()
    yield from glossary()
    yield from docstrings()


def messages() -> Iterator[Words]:
    """Yield every text of the code with at least two words that is no docstring and no help."""
    for path, tree in _modules():
        skipped = _passed_over(tree)
        for node in sorted(ast.walk(tree), key=lambda node: getattr(node, "lineno", 0)):
            text = None if id(node) in skipped else _text(node)
            if text is not None and _is_prose(text):
                yield Words("message", f"{path}:{node.lineno}", text)


def script_texts() -> Iterator[Words]:
    """Yield the texts of the page's script."""
    for path in sorted((ROOT / "templates/script").rglob("*.js")):
        for text in _strings(path.read_text("utf-8")):
            if _is_prose(text):
                yield Words("script", str(path.relative_to(ROOT)), text)


def template_texts() -> Iterator[Words]:
    """Yield what the templates themselves say, in attributes too."""
    for path in sorted((ROOT / "templates").glob("*.j2")):
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        text = re.sub(r"\{\{\s*([\w.]+).*?\}\}", r"‹\1›", text)
        for line in _lines_of(text):
            if _is_prose(line):
                yield Words("template", str(path.relative_to(ROOT)), line)


def page_texts() -> Iterator[Words]:
    """Yield the sentences of pages of made-up traces."""
    for name, page in _pages().items():
        written = set()
        for line in _lines_of(re.sub(r"(?s)<script.*?</script>|<style.*?</style>", "", page)):
            if _is_prose(line) and line not in written:
                written.add(line)
                yield Words("page", name, line)


def helps() -> Iterator[Words]:
    """Yield the help of every command."""
    import click

    from attentropy.report.cli import attentropy as cli

    with click.Context(
        cli, info_name="attentropy", max_content_width=120, **cli.context_settings
    ) as context:
        yield Words("help", "attentropy --help", cli.get_help(context))
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            with click.Context(command, context, name, max_content_width=120) as inner:
                yield Words("help", f"attentropy {name} --help", command.get_help(inner))
                for part, one in getattr(command, "commands", {}).items():
                    with click.Context(one, inner, part, max_content_width=120) as innermost:
                        place = f"attentropy {name} {part} --help"
                        yield Words("help", place, one.get_help(innermost))


def glossary() -> Iterator[Words]:
    """Yield the definitions of the glossary."""
    from attentropy.report.glossary import TERMS

    for term in TERMS:
        yield Words("glossary", term.name, term.definition)


def docstrings() -> Iterator[Words]:
    """Yield what `help` says of the public names, and the first paragraph of other docstrings."""
    import inspect

    public = dict(_public())
    for name, one in public.items():
        yield Words("help()", name, inspect.getdoc(one) or "")
        for method, value in vars(one).items() if inspect.isclass(one) else ():
            if not method.startswith("_") and (
                words := inspect.getdoc(getattr(one, method, value))
            ):
                yield Words("help()", f"{name}.{method}", words)
    for path, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                name = getattr(node, "name", "")
                words = None if name.startswith("_") else ast.get_docstring(node)
                if words:
                    first = " ".join(words.split("\n\n")[0].split())
                    yield Words("docstring", f"{path} {name}".rstrip(), first)


def public_functions() -> dict[str, object]:
    """Return the functions that a user calls, by name."""
    return {name: one for name, one in _public() if not isinstance(one, type)}


def _public() -> Iterator[tuple[str, object]]:
    import attentropy

    for name in (*attentropy.__all__, "open"):
        yield name, getattr(attentropy, name)
    yield "profile", import_module("attentropy.engine.profile.profile").profile


@cache
def _modules() -> tuple[tuple[Path, ast.Module], ...]:
    """Return the path, relative to the root, and the tree of each module that a user runs."""
    return tuple(
        (path.relative_to(ROOT), ast.parse(path.read_text("utf-8")))
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if not any(part in _DEVELOPERS for part in path.relative_to(ROOT).parts)
    )


def _passed_over(tree: ast.Module) -> set[int]:
    """Return the nodes that are no texts of their own: docstrings, parts of texts, helps."""
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in ast.walk(node)} - {id(node)}
        elif getattr(node, "arg", "") in _HELPS or (
            isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in _HELPS
        ):
            skipped |= {id(part) for part in ast.walk(node)}
    return skipped


def _text(node: ast.AST) -> str | None:
    """Return the text of a string, with its values in ‹ ›, or None."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"‹{ast.unparse(part.value)}›"
            for part in node.values
        )
    return None


def _strings(code: str) -> Iterator[str]:
    """Yield the strings of a script; what a template inserts stands in ‹ ›."""
    open_ones: list[tuple[str, int, int]] = []  # text so far, start of what is inserted, braces
    at, text, inside = 0, "", False
    while match := (_TEMPLATE if inside else _SCRIPT).search(code, at):
        before, token, at = code[at : match.start()], match[0], match.end()
        if inside:
            text += before
            if token == "`":
                yield text
                inside = False
            elif token == "${":
                open_ones.append((text, at, 0))
                inside = False
            else:
                text += token[1]
        elif token == "`":
            text, inside = "", True
        elif token in "{}" and open_ones:
            start, place, depth = open_ones.pop()
            if token == "}" and not depth:
                text, inside = f"{start}‹{code[place : match.start()]}›", True
            else:
                open_ones.append((start, place, depth + (1 if token == "{" else -1)))
        elif match["string"]:
            yield token[1:-1]


def _lines_of(page: str) -> Iterator[str]:
    """Yield the sentences of HTML: text between blocks, and the attributes that are read."""
    for match in re.finditer(r'\b(?:aria-label|title|alt|placeholder)="([^"]*)"', page):
        yield html.unescape(match[1])
    text = re.sub(rf"(?i)</?(?:{_BLOCKS})\b[^>]*>", "\n", page)
    for line in re.sub(r"<[^>]*>", "", text).splitlines():
        if words := " ".join(html.unescape(line).split()):
            yield words


def _is_prose(text: str) -> bool:
    """Return whether a text has two words or more, and is no code of a style or of a shader."""
    plain = re.sub(r"‹[^›]*›", "x", text)
    return len(re.findall(r"[A-Za-z]{2,}", plain)) > 1 and " " in plain.strip()


@cache
def _pages() -> dict[str, str]:
    """Return pages of each kind, from made-up traces."""
    from attentropy.engine.bench.results import Results
    from attentropy.report.bench.results_page import render as render_bench
    from attentropy.report.compare.difference import compare
    from attentropy.report.drawing import render_page
    from long_traces import long
    from traces import profiled, renumbered, synthetic

    plain, profile = synthetic(), profiled()
    other = renumbered(synthetic([*plain.tokens[:9], " Fiji", *plain.tokens[11:]], seed=7), plain)
    bench = ROOT / "tests/benchmarks/h200-attention.json"
    pages = {
        "single trace": render_page(plain)[0],
        "long trace": render_page(long(6000), max_bytes=1_500_000)[0],
        "comparison": render_page(compare(plain, other, ("a.zarr", "b.zarr")))[0],
        "comparison with itself": render_page(compare(plain, plain, ("a", "b")))[0],
        "profile": render_page(profile)[0],
    }
    if bench.exists():
        pages["bench"] = render_bench([Results.from_json(bench.read_text("utf-8"), bench.name)])
    return pages


def main(target: Path) -> None:
    """Write all words to `target`, a kind after the other."""
    parts, kind = [], ""
    for words in (*all_words(), *helps()):
        if words.kind != kind:
            kind = words.kind
            parts.append(f"\n\n##### {kind} #####\n")
        parts.append(f"[{words.place}] {words.text}")
    target.write_text("\n".join(parts), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

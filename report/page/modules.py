"""ES modules joined into one script, each after the modules that it imports.

Of the language's module syntax a small part is enough here, so that no other tool is needed: at the
top `import { a, b } from "./x.js";`, then declarations of one name each, with or without `export`.
As all of them share one scope once they are joined, no two modules may declare the same name.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

# Comments and empty lines, in which imports may stand, then the rest.
_HEAD = re.compile(r"//[^\n]*\n|\n")
_IMPORT = re.compile(r'import \{([\w$,\s]+)\} from "(\.\.?/[\w./-]+\.js)";\n')
_DECLARATION = re.compile(
    r"(export )?(?:(const|let) ([\w$]+)|(?:(?:async )?function|class) ([\w$]+))"
)
_MODULE_WORD = re.compile(r"(?<![\w$.])(?:import|export)(?![\w$])")
_STATEMENT = re.compile(r"^(?=[^\s)\]}])", re.MULTILINE)

# What is no code, and the braces, by which the end of a template's `${…}` is known.
_TEXT = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    |(?P<regex>/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\[\n])+/[a-z]*)
    |(?P<mark>[`{}])""",
    re.VERBOSE | re.DOTALL,
)
_TEMPLATE_TEXT = re.compile(r"(?:\\.|\$(?!\{)|[^`\\$])*(?:`|\$\{)", re.DOTALL)
# Before a slash: the end of a value, which the slash divides.
_VALUE_END = re.compile(r"(?:[)\]}]|(?<![\w$])(?!return\b|typeof\b)[\w$]+)\s*\Z")


class ModuleError(ValueError):
    """A module that cannot be joined, with the reason."""


@dataclass(frozen=True)
class Module:
    """One module, named by its path below the scripts' folder.

    `imports` are the imported names by module, `names` all names that the module declares at its
    top, `exports` those of them that it exports. `body` is its text without imports and without
    the word `export`; `code` is the same with blanks in place of comments and literal text.
    """

    name: str
    imports: dict[str, tuple[str, ...]]
    names: tuple[str, ...]
    exports: frozenset[str]
    body: str
    code: str


def load(entry: str, read: Callable[[str], str]) -> list[Module]:
    """Return the modules that `entry` needs, each after those that it imports, itself last.

    `read` returns the text of a module. Raises ModuleError for syntax that is not supported, an
    imported name that is not exported, a name that two modules declare, and imports in a circle.
    """
    modules: dict[str, Module] = {}
    owners: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> Module:
        if name in path:
            circle = " -> ".join([*path[path.index(name) :], name])
            raise ModuleError(f"imports in a circle: {circle}")
        if name not in modules:
            module = parse(name, read(name))
            for source, wanted in module.imports.items():
                missing = set(wanted) - visit(source, (*path, name)).exports
                if missing:
                    listed = ", ".join(sorted(missing))
                    raise ModuleError(f"{name} imports {listed}, which {source} does not export")
            for declared in module.names:
                other = owners.setdefault(declared, name)
                if other != name:
                    raise ModuleError(f"both {other} and {name} declare {declared}")
            modules[name] = module
        return modules[name]

    visit(entry, ())
    return list(modules.values())


def join(modules: Iterable[Module]) -> str:
    """Return one script of all `modules`, in the order in which they come."""
    return "\n".join(f"// {module.name}\n{module.body}" for module in modules)


def parse(name: str, source: str) -> Module:
    """Return the module `name` with the text `source`; raise ModuleError for other syntax."""
    imports: dict[str, tuple[str, ...]] = {}
    at = 0
    head = []
    while match := _IMPORT.match(source, at) or _HEAD.match(source, at):
        if match.re is _IMPORT:
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), match[2]))
            if path in imports:
                raise ModuleError(f"{name} imports from {path} twice")
            imports[path] = _names(name, match[1])
        else:
            head.append(match[0])
        at = match.end()
    body = source[at:]
    declarations = list(_declarations(name, code_only(body)))
    for _, start, exported in reversed(declarations):
        if exported:
            body = body[:start] + body[start + len("export ") :]
    code = code_only(body)
    if word := _MODULE_WORD.search(code):
        raise ModuleError(f"{name}: `{word[0]}` in a form that is not supported")
    return Module(
        name,
        imports,
        tuple(declared for declared, _, _ in declarations),
        frozenset(declared for declared, _, exported in declarations if exported),
        "".join(head) + body,
        code,
    )


def code_only(source: str) -> str:
    """Return `source` with blanks in place of everything that is no code.

    That is comments and the text of strings, templates and regular expressions. Each position and
    each line stays the same. Raises ModuleError for a template without an end.
    """
    parts: list[str] = []
    open_braces: list[int] = []  # per template that is open: the braces open within its `${…}`
    at = 0

    def blank(end: int) -> None:
        nonlocal at
        parts.append(re.sub(r"[^\n]", " ", source[at:end]))
        at = end

    def template_text() -> None:
        match = _TEMPLATE_TEXT.match(source, at)
        if match is None:
            raise ModuleError("a template literal without an end")
        blank(match.end())
        if match[0].endswith("{"):
            open_braces.append(0)

    while match := _TEXT.search(source, at):
        parts.append(source[at : match.start()])
        at = match.start()
        mark = match["mark"]
        if mark is None:
            divides = match["regex"] and _VALUE_END.search("".join(parts[-4:])[-80:])
            if divides:
                parts.append("/")
                at += 1
            else:
                blank(match.end())
        elif mark == "`":
            blank(at + 1)
            template_text()
        elif mark == "}" and open_braces and open_braces[-1] == 0:
            open_braces.pop()
            blank(at + 1)
            template_text()
        else:
            if open_braces:
                open_braces[-1] += 1 if mark == "{" else -1
            parts.append(mark)
            at += 1
    return "".join([*parts, source[at:]])


def _names(name: str, listed: str) -> tuple[str, ...]:
    """Return the names of one import; raise ModuleError where one of them is renamed."""
    names = [part.strip() for part in listed.rstrip().removesuffix(",").split(",")]
    for each in names:
        if not re.fullmatch(r"[\w$]+", each):
            raise ModuleError(f"{name}: cannot import `{each}`: names are imported as they are")
    return tuple(names)


def _declarations(name: str, code: str) -> Iterator[tuple[str, int, bool]]:
    """Yield name, start and whether it is exported for each declaration at the top of a module.

    Each begins its line; raise ModuleError for anything else there, and for a second name.
    """
    depths = _depths(code)
    starts = [m.start() for m in _STATEMENT.finditer(code) if depths[m.start()] == 0]
    if code[: starts[0] if starts else None].strip():
        raise ModuleError(f"{name}: a declaration begins its line")
    for start, end in pairwise([*starts, len(code)]):
        statement = code[start:end].rstrip()
        match = _DECLARATION.match(statement)
        if match is None:
            line = statement.partition("\n")[0]
            raise ModuleError(f"{name}: no declaration of one name: `{line}`")
        marks = ",;" if match[2] else "}"
        # The first mark outside of all brackets ends the declaration.
        stop = next((i for i in range(len(statement)) if _ends(code, depths, start + i, marks)), -1)
        if stop != len(statement) - 1 or statement[stop] == ",":
            raise ModuleError(f"{name}: one declaration a line, of one name: `{match[0]}`")
        yield match[3] or match[4], start, bool(match[1])


def _ends(code: str, depths: list[int], at: int, marks: str) -> bool:
    return code[at] in marks and depths[at + 1] == 0


def _depths(code: str) -> list[int]:
    """Return how many brackets are open before each position of the code, and at its end."""
    depths = [0]
    for letter in code:
        depths.append(depths[-1] + (letter in "([{") - (letter in ")]}"))
    return depths

"""Values, functions and parameters have names of the field, not participles that say nothing."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
BANNED = set(PROJECT["tool"]["attentropy"]["banned-names"])


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that the code binds, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


def test_no_name_is_on_the_list_of_those_that_say_nothing():
    bad = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for folder in ("kernels", "engine", "report", "tests", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, line in defined_names(ast.parse(path.read_text("utf-8")))
        if name.strip("_") in BANNED
    ]
    assert bad == []

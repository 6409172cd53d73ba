"""Messages name Python arguments in backticks; on a terminal they become options that exist."""

import ast
import inspect
import re
from pathlib import Path

import pytest

import attentropy
from attentropy.engine.cost.predict import describe
from attentropy.engine.profile.profile import profile
from attentropy.report.cli import main
from attentropy.report.commands.option_names import _WITHOUT_OPTION, option_words
from attentropy.report.drawing import render_page

ROOT = Path(__file__).parents[3]
# Modules whose texts are of Python alone: kernels and what a developer runs.
# `modules.py` reads the page's script; the glossary has statistics in backticks, shown as they are.
PYTHON_ALONE = ("coverage", "demo", "bench", "modules.py", "glossary.py")
COMMANDS = ("report", "extract", "render", "export", "compare", "profile", "info")


def message_texts():
    """Yield (place, text) of every text in the code of engine and report that is no docstring."""
    for folder in ("engine", "report"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if any(part in PYTHON_ALONE for part in path.parts):
                continue
            tree = ast.parse(path.read_text("utf-8"))
            docstrings = {
                id(node.body[0].value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
                and node.body
                and isinstance(node.body[0], ast.Expr)
            }
            docstrings |= {  # of a constant or a field
                id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
            }
            parts_of_texts = {
                id(part)
                for node in ast.walk(tree)
                if isinstance(node, ast.JoinedStr)
                for part in node.values
            }
            for node in ast.walk(tree):
                if id(node) in docstrings | parts_of_texts:
                    continue
                if isinstance(node, ast.JoinedStr):
                    parts = [p.value if isinstance(p, ast.Constant) else "0" for p in node.values]
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


TEXTS = list(message_texts())


def parameters():
    """Return the names of all parameters of what a user calls."""
    functions = [
        attentropy.extract, attentropy.fit_lens, attentropy.record, attentropy.sources,
        attentropy.compare, attentropy.export, profile,
        describe, render_page, attentropy.Trace.open, attentropy.Trace.save,
        attentropy.Trace.report, attentropy.Trace.export, attentropy.attention,
    ]  # fmt: skip
    return {name for one in functions for name in inspect.signature(one).parameters}


def options():
    """Return every option of the commands."""
    from importlib import import_module

    commands = [import_module(f"attentropy.report.commands.{name}").command for name in COMMANDS]
    commands += import_module("attentropy.report.commands.lens").command.commands.values()
    params = [option for one in commands for option in one.params]
    return {flag for option in params for flag in (*option.opts, *option.secondary_opts)}


def test_every_argument_in_backticks_is_a_parameter_and_has_an_option():
    names, flags, count = parameters(), options(), 0
    for place, text in TEXTS:
        if place.startswith(("report/commands/", "report/cli")):
            continue
        for name, value in re.findall(r"`([^`=]*)(=[^`]*)?`", text):
            if (
                name in ("0", "") or " " in name
            ):  # `{argument}`, or a command such as `hf auth login`
                continue
            count += 1
            assert name in names, f"{place}: `{name}` is no argument"
            if name in _WITHOUT_OPTION:
                continue
            for option in re.findall(r"--?[a-z-]+", option_words(f"`{name}{value}`")):
                assert option in flags, f"{place}: `{name}{value}` becomes {option}"
    assert count > 40


def test_each_argument_of_python_alone_is_named_by_a_message():
    named = {name for _, text in TEXTS for name in re.findall(r"`([a-z_]+)[`=]", text)}
    assert named >= _WITHOUT_OPTION


def test_no_message_of_the_engine_or_of_a_figure_names_an_option():
    options_named = [
        (place, text)
        for place, text in TEXTS
        if not place.startswith(("report/commands/", "report/cli", "engine/measure/machine"))
        and re.search(r"(^|[\s(])--[a-z]|(^|\s)-[pfmo][\s,)]", text)
    ]
    assert options_named == []


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("use `force=True` to replace it", "use --force to replace it"),
        ("`map_tile` must be", "--map-tile must be"),
        ("give one with `prompt`", "give one with -p, -f or -m"),
        ('`dtype="bfloat16"` and `lens="none"`', "--dtype bfloat16 and --lens none"),
        ('`lens_positions="-128:"`', "--lens-positions -128:"),
        ("try `chat_template=False`", "try --no-chat-template"),
        ("`chunk=512` fits", "--chunk 512 fits"),
        ("`range=(0, 5)`", "--range 0:5"),
        ("leave `windows` out", "leave --window out"),
        ("the `tokenizer`", "the tokenizer"),
        ("`x y` and `A` stay", "`x y` and `A` stay"),
    ],
)
def test_an_argument_becomes_its_option(message, words):
    assert option_words(message) == words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["extract", "--stats", "entropie"], "--stats must be"),
        (["extract", "--layers", "x"], "--layers must be numbers"),
        (["extract", "--heads", "mea"], "--heads must be"),
        (["extract", "--lens", "none,mlp"], "--lens must be"),
        (["extract", "--lens-layers", "1;2"], "--lens-layers must be"),
        (["extract", "--lens-positions", "x"], "--lens-positions must be"),
        (["extract", "--map-tile", "0"], "--map-tile must be"),
        (["extract", "--window", "1:2"], "--window must be"),
    ],
)
def test_a_bad_value_of_an_option_names_the_option(arguments, message, tmp_path, capsys):
    assert main([*arguments, "-o", str(tmp_path / "t.zarr")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert "`" not in error
    assert error.count("\n") == 1

"""What a stranger types: mistyped words, --debug anywhere, the version, `python -m attentropy`."""

import subprocess
import sys

import pytest

from attentropy.engine.errors import AttentropyError
from attentropy.report.cli import main
from traces import save_synthetic


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["reprot"], "no command 'reprot'; did you mean 'report'?"),
        (["Render"], "did you mean 'render'?"),
        (["comparison"], "did you mean 'compare'?"),
        (["t.zarr.zip"], "to draw a trace: attentropy render t.zarr.zip"),
        (["t.zarr.partial"], "attentropy render t.zarr.partial --partial"),
        (["org/model"], "to run a model: attentropy report org/model"),
        (["folder"], "to run a model: attentropy report folder"),
        (["xyz"], "the commands are report, extract, render, export"),
        (["-p", "hello"], "a command comes first, such as: attentropy report"),
        (["render", "--otput", "x", "t"], "--output"),
        (["export", "--fomat", "svg", "t"], "--format"),
        (["report", "--promt", "x"], "--prompt"),
        (["info", "--debgu"], "--debug"),
        (["render"], "Missing argument 'TRACE'; see attentropy render -h"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion_in_one_line(here, capsys, arguments, words):
    (here / "folder").mkdir()
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert words in output.err


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_one_line(capsys, option):
    assert main([option]) == 0
    assert capsys.readouterr().out.startswith("attentropy ")


def test_the_package_runs_as_a_module():
    # In a process of its own, which ignores at its end the signals that would end it.
    done = subprocess.run(
        [sys.executable, "-m", "attentropy", "-V"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("attentropy ")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_may_stand_anywhere(here, place):
    arguments = ["render", "none.zarr"]
    arguments.insert(place, "--debug")
    with pytest.raises(AttentropyError):
        main(arguments)


def test_a_prompt_that_reads_debug_is_a_prompt(here, capsys):
    assert main(["report", "./none", "-p", "--debug"]) == 2
    assert "no model folder" in capsys.readouterr().err


def test_every_command_shows_its_help_and_help_says_where_debug_goes(capsys):
    for name in ("report", "extract", "render", "export", "compare", "profile", "bench", "info"):
        assert main([name, "--help"]) == 0
        assert f"Usage: attentropy {name}" in capsys.readouterr().out
    assert main(["-h"]) == 0
    assert "accepted anywhere" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["report", "extract", "profile"])
@pytest.mark.parametrize("name", ["t.zarr", "t.zarr.zip", "t.zarr.partial"])
def test_a_store_as_a_model_is_told_which_command_draws_it(here, capsys, command, name):
    if name.endswith(".partial"):
        (here / name).mkdir()
    else:
        save_synthetic(here / name, layers=1, heads=1, window=False)
    assert main([command, name]) == 2
    error = capsys.readouterr().err
    partial = " --partial" * name.endswith(".partial")
    assert ("an unfinished trace" if partial else "is a trace, not a model") in error
    assert f"attentropy render {name}{partial}\n" in error
    assert main([command, "absent.zarr"]) == 2
    assert "no such file or folder" in capsys.readouterr().err

"""A command whose library is missing says in one line what to install."""

import sys

import pytest

from attentropy.engine.errors import install_command
from attentropy.report.cli import main

COMMANDS = {
    "running a model": ["extract", "-p", "hello", "-o", "t.zarr"],
    "profile": ["profile", "--tokens", "8", "--json"],
    "fitting a lens": ["lens", "fit", "model", "--text", "text.txt", "-o", "l.lens.safetensors"],
    "describing a model": ["info", "model", "--tokens", "8"],
}


@pytest.mark.parametrize("library", ["torch", "transformers"])
@pytest.mark.parametrize("purpose", COMMANDS)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    tmp_path, monkeypatch, capsys, purpose, library
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("some text")
    monkeypatch.setitem(sys.modules, library, None)
    assert main(COMMANDS[purpose]) == 1
    words = f"error: {purpose} needs {library}; run: {install_command('extract')}\n"
    assert capsys.readouterr() == ("", words)


def test_a_benchmark_names_the_extra_that_has_its_kernels(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", "-n", "16"]) == 1
    words = f"error: bench needs torch; run: {install_command('gpu')}\n"
    assert capsys.readouterr() == ("", words)

"""A command leaves the objects of its libraries alone; a program that calls one keeps its own."""

import gc
import subprocess
import sys

import pytest

from attentropy.report import collecting

_COMMAND = """
import gc, sys
from attentropy.report import cli, collecting
sys.argv = ["attentropy", "info", "--help"]
imported = []
own = collecting.imports

def imports():
    imported.append(gc.get_freeze_count())
    return own()

collecting.imports = imports
threshold = gc.get_threshold()[0]
cli.main()
print(len(imported), imported[0], gc.get_freeze_count() > 10_000, gc.get_threshold()[0] > threshold)
"""


def test_nothing_of_a_command_is_looked_through_when_it_ends():
    run = subprocess.run(
        [sys.executable, "-c", _COMMAND], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-1] == "1 0 True True"


@pytest.fixture
def frozen(monkeypatch):
    """Return a list that grows by the state of the collector whenever objects are frozen."""
    states = []
    monkeypatch.setattr(gc, "freeze", lambda: states.append(gc.isenabled()))
    return states


def test_imports_of_a_command_are_frozen_and_never_collected(frozen):
    threshold = gc.get_threshold()
    try:
        with collecting.own_process():
            with collecting.imports():
                assert not gc.isenabled()
                with collecting.imports():
                    pass
                assert not gc.isenabled()
            assert gc.isenabled()
            assert frozen == [False]
        assert frozen == [False, True]
    finally:
        gc.set_threshold(*threshold)


def test_a_program_that_calls_a_command_is_left_alone(frozen):
    with collecting.imports():
        assert gc.isenabled()
    assert frozen == []

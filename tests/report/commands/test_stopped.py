"""A signal ends every command in one line, with 128 plus its number; nothing is left behind."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from attentropy.report.cli import main
from commands_in_turn import WRITING, has_ended, make_inputs, start, wait_until_it_writes
from places import snapshot

SIGNALS = {"SIGTERM": "ended by SIGTERM", "SIGHUP": "ended by SIGHUP", "SIGINT": "interrupted"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", list(SIGNALS))
@pytest.mark.parametrize("command", list(WRITING))
@pytest.mark.parametrize("seconds", [0, 1.5], ids=["at once", "later"])
def test_a_signal_leaves_nothing_behind(inputs, tmp_path, command, name, seconds):
    before = snapshot(inputs)
    process = start(command, inputs, tmp_path)
    assert wait_until_it_writes(process, tmp_path), process.communicate()[1]
    time.sleep(seconds)  # whatever it does by then, it ends the same way
    process.send_signal(getattr(signal, name))
    _, error = process.communicate(timeout=120)
    left = {p.name for p in tmp_path.iterdir()}
    assert has_ended(process)
    assert snapshot(inputs) == before
    if process.returncode == 0:  # it was done before the signal came
        assert not any(name.startswith(".") for name in left)
        return
    number = getattr(signal, name)
    # Python itself ends by SIGINT, which a shell reports as 130, where that came in an exec().
    assert process.returncode in (128 + number, *[-number] * (name == "SIGINT"))
    lines = error.strip().splitlines()
    assert lines[-1].startswith(SIGNALS[name])
    assert all(line.startswith("note: ") for line in lines[:-1])
    unfinished = {name for name in left if name.endswith(".partial")}
    assert bool(unfinished) == ("use --resume to continue" in lines[-1])
    assert left == unfinished
    assert not unfinished or command in ("extract", "extract folder", "report")


def test_a_signal_that_is_ignored_stays_ignored(here):
    """As `nohup` does with SIGHUP."""
    program = (
        "import os, signal, sys\n"
        "from attentropy.report import cli\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "cli.attentropy.main = lambda *a, **k: [os.kill(os.getpid(), signal.SIGHUP), print('on')]\n"
        "sys.exit(cli.main(['render', 'x']))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "on\n", "")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_handlers_of_the_caller_stay(here, name, monkeypatch, capsys, request):
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)  # whatever the tests themselves run under
    request.addfinalizer(lambda: signal.signal(number, before))
    earlier = signal.getsignal(number)
    assert main(["explain", "sink"]) == 0
    assert signal.getsignal(number) is earlier

    def ends(*arguments, **options):
        os.kill(os.getpid(), number)
        time.sleep(60)

    monkeypatch.setattr("attentropy.report.cli.attentropy.main", ends)
    capsys.readouterr()
    assert main(["explain", "sink"]) == 128 + number
    assert re.fullmatch(f"ended by {name}\n", capsys.readouterr().err)
    assert signal.getsignal(number) is earlier

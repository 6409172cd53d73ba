"""Every command × every failure from outside: one line that says what happened and what helps.

Each command runs in a process of its own, in a folder of its own, with a limit or a failing disk.
"""

import json
import os
import resource
import signal
import sys
import traceback
from dataclasses import dataclass

import pytest

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.cli import main
from traces import synthetic

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux"),
]

# What reads or draws a trace: quick, and without torch.
COMMANDS = {
    "render": ["render", "a.zarr.zip", "-o", "x.html"],
    "export": ["export", "a.zarr.zip", "-o", "x.png"],
    "csv": ["export", "a.zarr.zip", "-o", "x.csv"],
    "compare": ["compare", "a.zarr.zip", "b.zarr.zip", "-o", "x.html"],
    "compared": ["compare", "a.zarr.zip", "b.zarr.zip", "-o", "x.zarr.zip"],
    "bench": ["bench", "--read", "bench.json", "--html", "x.html"],
    "info": ["info", "a.zarr.zip"],
    "page": ["render", "a.zarr.zip", "-o", "-"],
    "explain": ["explain", "sink"],
}
WRITERS = ("render", "export", "csv", "compare", "compared", "bench")
DRAWERS = ("render", "export", "compare", "page")
PRINTERS = ("info", "page", "explain")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Return the inputs of the commands, by name."""
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate(("a.zarr.zip", "b.zarr.zip")):
        synthetic(layers=2, heads=2, window=False, seed=seed).save(folder / name)
    case = VocabularyCase(8, 8, 16, "float32", "cpu")
    rows = (Row(0, "ours", "ours", case.flops, (1e-3, 2e-3, 3e-3), 3),)
    rates = {"flops_per_second": 1e9, "bytes_per_second": 1e9}
    results = Results("vocabulary", "bench", "ours", {"device": "x"}, rates, (case,), rows)
    (folder / "bench.json").write_text(results.to_json())
    return folder


@pytest.fixture
def here(inputs, tmp_path):
    for file in inputs.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@dataclass(frozen=True)
class Done:
    """How a command ended: its code, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def _run(folder, name, limits=(), setup="", env=None, encoding="utf-8", **streams):
    """Run a command in a fork of this process, with limits.

    setup: Python that runs in the fork before the command. stdout, stderr: handles to use.
    """
    outputs = [folder.parent / f"{folder.name} {stream}" for stream in ("stdout", "stderr")]
    child = os.fork()
    if not child:
        try:
            os.chdir(folder)
            os.environ.update(env or {})
            for number, file in enumerate(outputs, 1):
                handle = streams.get(file.name.split()[-1])
                os.dup2(
                    os.open(file, os.O_CREAT | os.O_WRONLY) if handle is None else handle, number
                )
            sys.stdout, sys.stderr = (
                os.fdopen(n, "w", encoding=encoding, closefd=False) for n in (1, 2)
            )
            for which, value in limits:
                resource.setrlimit(which, (value, value))
            exec(setup, {"sys": sys, "os": os, "resource": resource})
            code = main(list(COMMANDS[name]))
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            code = 99
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [file.read_text(encoding) if file.exists() else "" for file in outputs]
    for file in outputs:
        file.unlink(missing_ok=True)
    return Done(code, *texts)


def _assert_one_line(done, code, *words):
    lines = [line for line in done.stderr.splitlines() if not line.startswith(("note:", "- "))]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def _assert_nothing_new(folder, inputs):
    assert sorted(os.listdir(folder)) == sorted(os.listdir(inputs))


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_may_not_grow_is_one_line(here, inputs, name):
    done = _run(here, name, [(resource.RLIMIT_FSIZE, 200)])
    _assert_one_line(done, 1, "the file is larger than it may be here", "`ulimit -f`")
    _assert_nothing_new(here, inputs)


_FULL = """
import os, io, errno
def full(*_): raise OSError(errno.{name}, os.strerror(errno.{name}))
os.fsync = full
"""


@pytest.mark.parametrize(
    ("error", "words"),
    [("ENOSPC", "the disk is full; free some space"), ("EDQUOT", "the disk quota is used up"),
     ("EIO", "the disk reports an error"), ("EROFS", "the file system is read-only")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["csv", "bench"])
def test_a_disk_that_fails_is_one_line(here, inputs, name, error, words):
    done = _run(here, name, setup=_FULL.format(name=error))
    _assert_one_line(done, 1, words)
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", DRAWERS)
def test_too_little_address_space_to_draw_is_one_line(here, inputs, name):
    done = _run(here, name, [(resource.RLIMIT_AS, 8 * 2**30)])
    _assert_one_line(
        done, 1, "the process that draws crashed", "reserves 80 GB of address space", "`ulimit -v`"
    )
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", ["render", "info", "csv"])
@pytest.mark.parametrize("handles", [0, 1, 2, 4, 8, 30])
def test_too_few_handles_are_one_line_or_enough(here, inputs, name, handles):
    # The test's own handles count as well.
    used = len(os.listdir("/proc/self/fd"))
    done = _run(here, name, [(resource.RLIMIT_NOFILE, used + handles)])
    if done.returncode:
        _assert_one_line(done, 1, "too many open files", "`ulimit -n`")
        _assert_nothing_new(here, inputs)


def test_a_process_that_cannot_start_is_one_line(here, inputs):
    setup = """
import errno, os, subprocess
def refuse(*_, **__): raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
subprocess.Popen = refuse
"""
    done = _run(here, "render", setup=setup)
    _assert_one_line(done, 1, "the process that draws could not start", "no further process")
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_drawing_process_that_dies_is_one_line(here, inputs, number):
    setup = f"""
import os
from attentropy.report import vega
begin = vega._Converter.__init__
def dies(self):
    begin(self)
    os.kill(self.process.pid, {int(number)})
    os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
vega._Converter.__init__ = dies
"""
    words = {
        signal.SIGKILL: "was killed, most likely because memory ran out",
        signal.SIGSEGV: "crashed (SIGSEGV)",
        signal.SIGTERM: "was ended from outside (SIGTERM)",
    }
    _assert_one_line(_run(here, "render", setup=setup), 1, words[number])
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "cp437", "koi8-r"])
@pytest.mark.parametrize("name", ["compare", "bench", "info", "explain", "csv"])
def test_a_terminal_that_lacks_characters_is_shown_others(here, name, encoding):
    done = _run(here, name, encoding=encoding)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    done.stdout.encode(encoding)


def test_json_stays_json_on_a_terminal_that_lacks_characters(here):
    command = [*COMMANDS["compare"], "--json"]
    COMMANDS["json"] = command
    try:
        plain = _run(here, "json", encoding="ascii")
        (here / "x.html").unlink()
        full = _run(here, "json")
    finally:
        del COMMANDS["json"]
    assert plain.stdout.isascii()
    assert json.loads(plain.stdout) == json.loads(full.stdout)
    assert not full.stdout.isascii()


@pytest.mark.parametrize("name", PRINTERS)
def test_a_full_standard_output_is_one_line(here, inputs, name):
    full = os.open("/dev/full", os.O_WRONLY)
    done = _run(here, name, stdout=full)
    os.close(full)
    _assert_one_line(done, 1, "cannot write to standard output (the disk is full)")
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", PRINTERS)
def test_a_reader_that_is_gone_ends_a_command_in_silence(here, inputs, name):
    read, write = os.pipe()
    os.close(read)
    done = _run(here, name, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", [*WRITERS, "info"])
def test_closed_standard_streams_stop_no_command(here, inputs, name):
    close = (
        "import os\n[os.close(n) for n in (0, 1, 2)]\nsys.stdin = sys.stdout = sys.stderr = None"
    )
    done = _run(here, name, setup=close)
    assert done.returncode == 0
    assert len(os.listdir(here)) - len(os.listdir(inputs)) == (name != "info")


def test_a_closed_standard_output_takes_no_page(here, inputs):
    code = "import os\nos.close(1)\nsys.stdout = None"
    _assert_one_line(_run(here, "page", setup=code), 2, "standard output is closed")
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", ["render", "info"])
def test_a_standard_error_that_fails_stops_no_command(here, name):
    full = os.open("/dev/full", os.O_WRONLY)
    done = _run(here, name, stderr=full)
    os.close(full)
    assert done.returncode == 0


def test_processor_time_that_ends_is_one_line(here, inputs):
    # A fork's processor time begins at 0, and this command takes any time.
    setup = """
from attentropy.report import drawing
def compute_on(*_, **__):
    while True: pass
drawing.render_page = compute_on
"""
    done = _run(here, "render", [(resource.RLIMIT_CPU, 1)], setup=setup)
    _assert_one_line(done, 1, "the processor time is used up", "`ulimit -t`, which is 1")
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize("name", ["render", "info", "csv"])
def test_a_current_folder_that_is_gone_is_one_line(here, inputs, name):
    setup = "import os\nos.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')"
    done = _run(here, name, setup=setup)
    _assert_one_line(done, done.returncode)
    assert done.returncode in (1, 2)
    _assert_nothing_new(here, inputs)


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb", "COLUMNS": "20"}, {"NO_COLOR": "1", "COLUMNS": "1"}, {"COLUMNS": "x"},
        {"HOME": "/nowhere"}, {"HOME": ""}, {"TMPDIR": "/nowhere"},
        {"LC_ALL": "xx_XX.broken", "LANG": "?"}, {"TZ": "??"},
    ],
    ids=lambda e: "+".join(e),
)  # fmt: skip
def test_an_odd_environment_changes_no_byte_of_a_result(here, inputs, environment):
    done = _run(here, "bench", env=environment)
    assert done.returncode == 0, done.stderr
    first = (here / "x.html").read_bytes()
    (here / "x.html").unlink()
    assert _run(here, "bench").returncode == 0
    assert (here / "x.html").read_bytes() == first


# Other tests may have imported the library, and what imports it.
_WITHOUT = """
for name in [*sys.modules]:
    if name.startswith(("attentropy.report.", "{0}.")):
        del sys.modules[name]
sys.modules["{0}"] = None
"""


def test_a_missing_library_is_one_line(here, inputs):
    for library in ("altair", "vl_convert", "jinja2"):
        done = _run(here, "render", setup=_WITHOUT.format(library))
        _assert_one_line(done, 1, f"the library {library} cannot be loaded", "pip install")
    _assert_nothing_new(here, inputs)

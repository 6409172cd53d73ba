"""What took long is kept and named where it cannot be drawn or written, with what draws it."""

import errno
import os
from pathlib import Path

import pytest

from attentropy.engine import keeping
from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.errors import Terminated, UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report import drawing, vega
from attentropy.report.cli import main
from attentropy.report.commands import output
from traces import synthetic

pytestmark = pytest.mark.costly

FAILURES = [
    (vega.DrawingStopped("the process that draws crashed"), 1, "error: the process that draws"),
    (OSError(errno.ENOSPC, "No space left on device"), 1, "error: the disk is full; free some"),
    (MemoryError(), 1, "error: out of memory"),
    (UsageError("`max_bytes` must be larger"), 2, "error: --max-bytes must be larger"),
    (ZeroDivisionError("a mistake"), 1, "error: ZeroDivisionError: a mistake (add --debug"),
    (KeyboardInterrupt(), 130, "interrupted"),
    (Terminated(15), 143, "ended by SIGTERM"),
]  # fmt: skip


@pytest.fixture
def recorded(monkeypatch):
    """Return a trace, which `report` gets from a run that takes no time."""
    trace = synthetic(layers=2, heads=2, window=False)

    def run(options, output=None, force=False, **destination):
        return trace if output is None else Trace.open(trace.save(output, force=force))

    monkeypatch.setattr("attentropy.report.commands.report.extract_trace", run)
    return trace


def _raises(error):
    def fails(*arguments, **options):
        raise error

    return fails


@pytest.mark.parametrize(("error", "code", "words"), FAILURES, ids=lambda v: type(v).__name__)
def test_report_keeps_the_trace_and_names_what_draws_it(
    here, capsys, monkeypatch, recorded, error, code, words
):
    monkeypatch.setattr(drawing, "render_page", _raises(error))
    assert main(["report", "-o", "r.html"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.strip().count("\n") == 0  # click leaves the line that a terminal wrote ^C in
    assert err.strip().startswith(words)
    note = "the trace is in r.zarr.zip; draw it with: attentropy render r.zarr.zip -o r.html\n"
    assert err.endswith(note)
    assert os.listdir() == ["r.zarr.zip"]
    assert Trace.open("r.zarr.zip").tokens == recorded.tokens


def test_a_kept_trace_replaces_nothing(here, capsys, monkeypatch, recorded):
    monkeypatch.setattr(drawing, "render_page", _raises(MemoryError()))
    for name in ("r.zarr.zip", "r-2.zarr.zip"):
        (here / name).write_text("mine")
    assert main(["report", "-o", "r.html"]) == 1
    assert "the trace is in r-3.zarr.zip" in capsys.readouterr().err
    assert (here / "r.zarr.zip").read_text() == "mine"


def test_of_a_redacted_run_only_the_redacted_trace_is_kept(here, capsys, monkeypatch, recorded):
    monkeypatch.setattr(drawing, "render_page", _raises(MemoryError()))
    assert main(["report", "-o", "r.html", "--redact-tokens"]) == 1
    assert os.listdir() == ["r.zarr.zip"]
    assert "Canberra" not in "".join(Trace.open("r.zarr.zip").tokens)


def test_a_trace_that_is_saved_already_is_only_named(here, capsys, monkeypatch, recorded):
    monkeypatch.setattr(drawing, "render_page", _raises(KeyboardInterrupt()))
    assert main(["report", "-o", "r.html", "--save-trace", "t.zarr"]) == 130
    assert "the trace is in t.zarr; draw it with: attentropy render t.zarr" in (
        capsys.readouterr().err
    )
    assert os.listdir() == ["t.zarr"]


def test_where_the_folder_is_full_the_trace_is_kept_among_temporary_files(
    here, capsys, monkeypatch, recorded, tmp_path_factory
):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setattr(keeping.tempfile, "gettempdir", lambda: str(elsewhere))
    monkeypatch.setattr(drawing, "render_page", _raises(OSError(errno.ENOSPC, "full")))
    save = Trace.save

    def saves(self, path, **options):
        if Path(path).parent != elsewhere:
            raise OSError(errno.ENOSPC, "full")
        return save(self, path, **options)

    monkeypatch.setattr(Trace, "save", saves)
    assert main(["report", "-o", "r.html"]) == 1
    assert f"the trace is in {elsewhere}/r.zarr.zip" in capsys.readouterr().err
    assert os.listdir() == []
    monkeypatch.setattr(Trace, "save", _raises(OSError(errno.ENOSPC, "full")))
    assert main(["report", "-o", "r.html"]) == 1
    assert "the trace could not be kept (the disk is full)" in capsys.readouterr().err


def test_compare_keeps_the_comparison(here, capsys, monkeypatch):
    for seed, name in enumerate("ab"):
        synthetic(layers=2, heads=2, window=False, seed=seed).save(here / f"{name}.zarr.zip")
    monkeypatch.setattr(drawing, "render_page", lambda *_, **__: ("page", []))
    monkeypatch.setattr(output, "write_text", _raises(OSError(errno.EIO, "broken")))
    assert main(["compare", "a.zarr.zip", "b.zarr.zip"]) == 1
    assert "the comparison is in compare.zarr.zip; draw it with: attentropy render" in (
        capsys.readouterr().err
    )
    assert sorted(os.listdir()) == ["a.zarr.zip", "b.zarr.zip", "compare.zarr.zip"]


def test_bench_keeps_its_results(here, capsys, monkeypatch):
    case = VocabularyCase(8, 8, 16, "float32", "cpu")
    rows = (Row(0, "ours", "ours", case.flops, (1e-3, 2e-3, 3e-3), 3),)
    rates = {"flops_per_second": 1e9, "bytes_per_second": 1e9}
    results = Results("vocabulary", "bench", "ours", {"device": "x"}, rates, (case,), rows)
    monkeypatch.setattr("attentropy.report.commands.bench._measure", lambda **options: results)
    render = "attentropy.report.bench.results_page.render"
    monkeypatch.setattr(render, _raises(vega.DrawingStopped("the process that draws crashed")))
    assert main(["bench", "--html", "b.html"]) == 1
    assert capsys.readouterr().err.endswith(
        "the results are in b.json; show them with: attentropy bench --read b.json --html b.html\n"
    )
    assert Path("b.json").read_text("utf-8") == results.to_json()
    assert main(["bench", "--html", "b.html", "-o", "mine.json"]) == 1
    assert "the results are in mine.json" in capsys.readouterr().err
    assert sorted(os.listdir()) == ["b.json", "mine.json"]

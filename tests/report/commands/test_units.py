"""The command line writes words and segments as CSV, names parts of a prompt, and counts them."""

import csv
import json

import pytest

import traces
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return traces.synthetic().save(tmp_path_factory.mktemp("units") / "t.zarr")


@pytest.fixture
def run(capsys):
    """Return a function that runs a command and returns its status and what it printed."""

    def run_command(*arguments):
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run_command


def test_export_by_word_writes_every_value_of_the_words(run, stored, tmp_path):
    status, output = run("export", stored, "--by", "word", "-o", tmp_path / "w.csv")
    assert status == 0, output
    words = Trace.open(stored).by("word")
    lines = list(csv.DictReader((tmp_path / "w.csv").open(encoding="utf-8", newline="")))
    own = [line for line in lines if line["statistic"] == "entropy" and line["layer"] == "2"]
    assert len(own) == words.sizes["word"]
    expected = words["entropy_sum"].mean("head").values[2]
    for line, value, text in zip(own, expected, words["text"].values, strict=True):
        assert float(line["sum"]) == pytest.approx(value, rel=1e-14)
        assert line["text"].removeprefix("'") == text
    assert {line["statistic"] for line in lines} == {"entropy", "lens_entropy"}


def test_a_file_names_segments(run, stored, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('\ufeff{"question": [0, 7], "place": "Australia"}', "utf-8")
    options = ("--by", "segment", "--segments", names, "-o", tmp_path / "s.csv")
    assert run("export", stored, *options)[0] == 0
    lines = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert {line["segment"] for line in lines} == {"question", "place"}
    status, output = run("render", stored, "--segments", names, "-o", tmp_path / "p.html")
    assert status == 0, output


@pytest.mark.parametrize("content", ["{", '{"a": [0, 999]}', "[]", '{"a": 1}'])
def test_a_file_that_names_no_segments_is_refused(run, stored, tmp_path, content):
    names = tmp_path / "names.json"
    names.write_text(content, "utf-8")
    status, output = run("export", stored, "--by", "segment", "--segments", names)
    assert status != 0
    assert "--segments" in output
    assert output.strip().count("\n") == 0


def test_by_needs_a_csv_and_units(run, stored, tmp_path):
    for options, words in ((("-o", tmp_path / "w.svg"), "csv"), ((), "no segments")):
        status, output = run("export", stored, "--by", "segment", *options)
        assert status != 0
        assert words in output


def test_info_counts_the_units(run, stored):
    facts = json.loads(run("info", stored, "--json")[1])
    assert facts["words"] == Trace.open(stored).by("word").sizes["word"]
    assert "segments" not in facts

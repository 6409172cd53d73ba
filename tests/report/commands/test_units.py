"""The command line writes words and segments as CSV, names parts of a prompt, and counts them."""

import csv
import json

import pytest
from click.testing import CliRunner

import traces
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return traces.synthetic().save(tmp_path_factory.mktemp("units") / "t.zarr")


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_export_by_word_writes_every_value_of_the_words(stored, tmp_path):
    result = run("export", stored, "--by", "word", "-o", tmp_path / "w.csv")
    assert result.exit_code == 0, result.output
    words = Trace.open(stored).by("word")
    lines = list(csv.DictReader((tmp_path / "w.csv").open(encoding="utf-8", newline="")))
    own = [line for line in lines if line["statistic"] == "entropy" and line["layer"] == "2"]
    assert len(own) == words.sizes["word"]
    expected = words["entropy_sum"].mean("head").values[2]
    for line, value, text in zip(own, expected, words["text"].values, strict=True):
        assert float(line["sum"]) == pytest.approx(value, rel=1e-14)
        assert line["text"].removeprefix("'") == text
    assert {line["statistic"] for line in lines} == {"entropy", "lens_entropy"}


def test_a_file_names_segments(stored, tmp_path):
    names = tmp_path / "names.json"
    names.write_text('\ufeff{"question": [0, 7], "place": "Australia"}', "utf-8")
    options = ("--by", "segment", "--segments", names, "-o", tmp_path / "s.csv")
    assert run("export", stored, *options).exit_code == 0
    lines = list(csv.DictReader((tmp_path / "s.csv").open(encoding="utf-8", newline="")))
    assert {line["segment"] for line in lines} == {"question", "place"}
    page = run("render", stored, "--segments", names, "-o", tmp_path / "p.html")
    assert page.exit_code == 0, page.output


@pytest.mark.parametrize("content", ["{", '{"a": [0, 999]}', "[]", '{"a": 1}'])
def test_a_file_that_names_no_segments_is_refused(stored, tmp_path, content):
    names = tmp_path / "names.json"
    names.write_text(content, "utf-8")
    result = run("export", stored, "--by", "segment", "--segments", names)
    assert result.exit_code != 0
    assert "--segments" in result.output
    assert result.output.strip().count("\n") <= 1
    assert "Traceback" not in result.output


def test_by_needs_a_csv_and_units(stored, tmp_path):
    for options, words in ((("-o", tmp_path / "w.svg"), "csv"), ((), "no segments")):
        result = run("export", stored, "--by", "segment", *options)
        assert result.exit_code != 0
        assert words in result.output


def test_info_counts_the_units(stored):
    facts = json.loads(run("info", stored, "--json").output)
    assert facts["words"] == Trace.open(stored).by("word").sizes["word"]
    assert "segments" not in facts

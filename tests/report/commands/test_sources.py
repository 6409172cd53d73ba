"""The command line tests sources, says what it cannot test, and leaves the tests out by default."""

import json

import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from sources_of import with_sources
from traces import synthetic

QUESTION = "What is the capital of Japan?"
SMALL = ("--stats", "none", "--lens", "none", "--no-reference")


def _run(capsys, *arguments):
    code = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_extract_writes_the_sources_and_prints_them_as_json(capsys, tmp_path):
    path = tmp_path / "t.zarr"
    code, out, _ = _run(
        capsys, "extract", "-p", QUESTION, "-o", path, "--json", "--test-sources", "word", *SMALL
    )
    assert code == 0
    sources = json.loads(out)["sources"]
    assert (sources["how"], sources["level"]) == ("hide", "word")
    top = sources["rows"][0]
    assert (top["text"], top["word_text"], top["label"]) == (" Japan", "Tokyo", "source")
    trace = Trace.open(path)
    assert list(trace.sources["step_text"].values) == ["Tokyo"]
    assert trace.sources["step_position"].values.tolist() == [trace.prompt_tokens]
    assert trace.attrs["options"]["test_sources"] == "word"


def test_a_target_is_tested_in_place_of_the_answer(capsys, tmp_path):
    path = tmp_path / "t.zarr"
    code, _, _ = _run(
        capsys, "extract", "-p", QUESTION, "-o", path, "--target", "Canberra", "--versus", "Tokyo",
        *SMALL,
    )  # fmt: skip
    trace = Trace.open(path)
    assert code == 0
    assert trace.attrs["answer"] == "Tokyo"
    assert "".join(trace.sources["step_text"].values) == "Canberra"
    assert trace.sources.attrs["target"] == "Canberra"
    assert trace.sources["effect_versus"].notnull().any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--test-sources", "everything"), "--test-sources everything: use auto, message"),
        (("--test-sources", "none", "--target", "x"), "--target belongs to the tests"),
        (("--target", " "), "--target must be a text"),
        (("--budget", "0"), "0"),
        (("--how", "delete"), "delete"),
        (("--test-sources", "segment"), "--test-sources segment needs --segments"),
        (("--test-sources", "auto", "--max-new-tokens", "0"), "the run has no answer"),
    ],
)
def test_what_cannot_be_tested_is_refused_in_one_line(capsys, tmp_path, options, message):
    code, _, err = _run(
        capsys, "extract", "-p", QUESTION, "-o", tmp_path / "t.zarr", *SMALL, *options
    )
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"place": "Japan"}, "one segment only"),
        ({"a": [0, 9], "b": [8, 20]}, "share a token"),
        ({"a": [0, 4], "b": [5, 99]}, "the prompt has characters"),
        ({"a": [0, 2], "b": [12, 19]}, "splits the token"),
    ],
)
def test_segments_that_cannot_be_tested_are_refused_in_one_line(capsys, tmp_path, parts, message):
    file = tmp_path / "parts.json"
    file.write_text(json.dumps(parts))
    code, _, err = _run(
        capsys, "extract", "-p", QUESTION, "-o", tmp_path / "t.zarr", "--test-sources", file, *SMALL
    )
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_file_names_the_segments_that_are_tested(capsys, tmp_path):
    file = tmp_path / "parts.json"
    file.write_text(json.dumps({"what": "What is the capital", "place": "of Japan"}))
    code, _, _ = _run(
        capsys, "extract", "-p", QUESTION, "-o", tmp_path / "t.zarr", "--test-sources", file, *SMALL
    )
    trace = Trace.open(tmp_path / "t.zarr")
    assert code == 0
    assert set(trace.sources["span_id"].values) >= {"what", "place"}


def test_a_short_prompt_is_tested_by_default_and_none_leaves_it_out(capsys, tmp_path):
    for name, options, is_tested in (("a", (), True), ("b", ("--test-sources", "none"), False)):
        path = tmp_path / f"{name}.zarr"
        assert _run(capsys, "extract", "-p", QUESTION, "-o", path, *options)[0] == 0
        assert (Trace.open(path).sources is not None) == is_tested


def test_a_long_prompt_is_not_tested_by_default_and_a_note_names_the_option(capsys, tmp_path):
    path = tmp_path / "t.zarr"
    code, _, err = _run(
        capsys, "extract", "-p", "word " * 600, "-o", path, "--max-new-tokens", "1", *SMALL
    )
    assert code == 0
    assert Trace.open(path).sources is None
    assert "--test-sources auto" in err


def test_redacted_sources_have_no_words(capsys, tmp_path):
    path = tmp_path / "t.zarr"
    code, out, _ = _run(
        capsys, "extract", "-p", QUESTION, "-o", path, "--redact-tokens", "--json", *SMALL,
        "--test-sources", "word",
    )  # fmt: skip
    assert code == 0
    assert "Tokyo" not in out
    assert "Japan" not in out


def test_info_names_the_tests_of_a_trace(capsys, tmp_path):
    trace = with_sources(synthetic(layers=2, heads=2), target="Can berra")
    code, out, _ = _run(capsys, "info", trace.save(tmp_path / "t.zarr"), "--json")
    assert code == 0
    assert json.loads(out)["sources"]["words"] == 2


def test_info_predicts_the_tests_that_it_is_asked_about(capsys):
    code, out, _ = _run(capsys, "info", "--tokens", "64", "--test-sources", "auto", "--json")
    assert code == 0
    assert json.loads(out)["sources"]["passes"] > 1
    code, out, _ = _run(capsys, "info", "--tokens", "64", "--test-sources", "auto")
    assert "Tests of sources, after the run: about" in out

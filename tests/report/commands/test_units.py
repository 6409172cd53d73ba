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


def test_units_that_the_trace_does_not_have_are_refused(run, stored, tmp_path):
    for options in (("-o", tmp_path / "w.svg"), (), ("--figure", "attention")):
        status, output = run("export", stored, "--by", "segment", *options)
        assert status != 0
        assert "no segments" in output
        assert output.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--figure", "map"), "--by does not apply to the figure map"),
        (("--stat", "max_prob"), "--figure"), (("--layer", "9"), "--layer"),
        (("--head", "7"), "--head"), (("--figure", "lens", "--inset", "99"), "word 99"),
    ],
)  # fmt: skip
def test_choices_that_units_do_not_leave_are_refused(run, stored, tmp_path, options, words):
    status, output = run("export", stored, "--by", "word", *options, "-o", tmp_path / "w.csv")
    assert status != 0
    assert words in output
    assert output.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("options", "layers", "heads"),
    [
        ((), range(6), ["mean"]), (("--layer", 4), [4], [0, 1, 2]),
        (("--head", 2), range(6), [2]), (("--layer", 4, "--head", 1), [4], [1]),
    ],
)  # fmt: skip
def test_layers_and_heads_are_selected_as_in_the_figure(
    run, stored, tmp_path, options, layers, heads
):
    path = tmp_path / "w.csv"
    assert run("export", stored, "--by", "word", *options, "-o", path)[0] == 0
    lines = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    own = [line for line in lines if line["statistic"] == "entropy"]
    assert {(line["layer"], line["head"]) for line in own} == {
        (str(layer), str(head)) for layer in layers for head in heads
    }
    words = Trace.open(stored).by("word")
    for line in own:
        values = words["entropy_mean"].sel(layer=int(line["layer"]), word=int(line["word"]))
        value = values.mean() if line["head"] == "mean" else values.sel(head=int(line["head"]))
        assert float(line["mean"]) == pytest.approx(float(value), rel=1e-14)


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_a_figure_by_word_has_the_mean_over_the_tokens_of_each(run, stored, tmp_path, figure):
    path = tmp_path / "w.csv"
    assert run("export", stored, "--by", "word", "--figure", figure, "-o", path)[0] == 0
    words = Trace.open(stored).by("word")
    expected = words["lens_entropy_mean"][0]
    if figure == "attention":
        expected = words["entropy_mean"].mean("head")
    lines = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
    assert len(lines) == expected.size
    for line in lines:
        value = float(expected.sel(layer=int(line["layer"]), word=int(line["word"])))
        assert float(line["entropy (nats)"]) == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_positions_without_a_query_have_no_value_in_a_figure_by_word(tmp_path, figure):
    trace = Trace(traces.synthetic().dataset.isel(query=slice(6, None)))
    path = trace.export(tmp_path / "w.csv", figure=figure, by="word")
    trace.export(tmp_path / "w.svg", figure=figure, by="word")
    expected = trace.by("word")["entropy_mean"].mean("head")
    if figure == "attention":
        for line in csv.DictReader(path.open(encoding="utf-8", newline="")):
            value = float(expected.sel(layer=int(line["layer"]), word=int(line["word"])))
            drawn = float(line["entropy (nats)"] or "nan")
            assert drawn == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_a_figure_by_unit_is_drawn(run, tmp_path):
    tokens = [*traces.CHAT]
    tokens[10:11] = [" Aus", "tralia"]
    roles = traces.chat_roles(tokens)
    trace = traces.synthetic(tokens, roles).with_segments({"question": [0, 7], "place": [8, 28]})
    path = trace.save(tmp_path / "t.zarr")
    for by, labels in (("word", ("_Aus", "word 1")), ("segment", ("question", "place"))):
        svg = tmp_path / f"{by}.svg"
        status, output = run("export", path, "--by", by, "--figure", "attention", "-o", svg)
        assert status == 0, output
        assert f"Attention entropy by {by}" in output
        assert f"the mean over the tokens of a {by}" in output.replace("\n", " ")
        for label in labels:
            assert label in svg.read_text("utf-8")


def test_info_counts_the_units(run, stored):
    facts = json.loads(run("info", stored, "--json")[1])
    assert facts["words"] == Trace.open(stored).by("word").sizes["word"]
    assert "segments" not in facts

"""Where results go: default names, endings, standard output, and what is said at the end."""

import json
import os
import re
from pathlib import Path

import pytest

from attentropy.engine.bench.case import VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from pictures import without_pictures
from traces import profiled, save_synthetic, synthetic


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Return a folder with two traces, a profile, and benchmark results."""
    folder = tmp_path_factory.mktemp("traces")
    for seed, name in enumerate(("a.zarr.zip", "b.zarr")):
        synthetic(layers=2, heads=2, window=False, seed=seed).save(folder / name)
    profiled().save(folder / "p.zarr")
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _at(folder, arguments):
    return [part.replace("@", f"{folder}/") for part in arguments]


def _run(folder, *arguments):
    with without_pictures():
        return main(_at(folder, arguments))


@pytest.mark.costly
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["render", "@a.zarr.zip"], "a.html"),
        (["render", "@b.zarr"], "b.html"),
        (["compare", "@a.zarr.zip", "@b.zarr"], "compare.html"),
        (["export", "@a.zarr.zip", "--format", "csv"], "a-lens.csv"),
        (["export", "@b.zarr", "--figure", "attention"], "b-attention.svg"),
    ],
)
def test_a_result_has_a_name_by_default(traces, here, capsys, arguments, name):
    assert _run(traces, *arguments) == 0
    assert os.listdir() == [name]
    output = capsys.readouterr()
    assert re.search(rf"^Wrote {re.escape(name)} \(\d+\.\d [kM]B\)\.", output.out, re.M)
    assert ("Open it in a browser." in output.out) == name.endswith(".html")
    assert _run(traces, *arguments) == 2
    assert "exists" in capsys.readouterr().err


FIGURE = "a figure is written by: attentropy export "
REFUSALS = [
    (["report", "-o", "x.pdf"], ".html; " + FIGURE + "TRACE -o x.pdf"),
    (["report", "-o", "x.SVG"], FIGURE + "TRACE -o x.SVG"),
    (["report", "-o", "x.zarr.zip"], "a trace is written by: attentropy extract -o x.zarr.zip"),
    (["report", "-o", "x.txt"], "this command writes a file that ends in .html"),
    (["report", "-o", "x"], ".html"),
    (["report", "--save-trace", "x.html"], ".zarr, .zarr.zip"),
    (["report", "--save-trace", "-"], "a trace cannot be written to standard output"),
    (["report", "-o", "-", "--json"], "both write to standard output"),
    (["extract", "-o", "x.html"], "a page is written by: attentropy report -o x.html"),
    (["extract", "-o", "x.png"], FIGURE),
    (["extract", "-o", "-"], "a trace cannot be written to standard output"),
    (["render", "@a.zarr.zip", "-o", "x.pdf"], FIGURE + "@a.zarr.zip -o x.pdf"),
    (["render", "@a.zarr.zip", "-o", "x y.csv"], FIGURE + "@a.zarr.zip -o 'x y.csv'"),
    (["compare", "@a.zarr.zip", "@b.zarr", "-o", "x.svg"], FIGURE + "NAME.zarr.zip -o x.svg"),
    (["compare", "@a.zarr.zip", "@b.zarr", "-o", "x.json"], ".html, .zarr, .zarr.zip"),
    (["export", "@a.zarr.zip", "-o", "x.html"], "attentropy render @a.zarr.zip -o x.html"),
    (["export", "@a.zarr.zip", "-o", "x.jpg"], ".svg, .png, .pdf, .csv"),
    (["export", "@a.zarr.zip", "-o", "-"], "add --format svg, png, pdf or csv"),
    (["export", "@a.zarr.zip", "-o", "x.svg", "--format", "pdf"], ".svg, and --format is pdf"),
    (["profile", "-o", "x.pdf"], ".html, .zarr, .zarr.zip"),
    (["bench", "-o", "x.html"], "a page is written by: --html x.html"),
    (["bench", "--html", "x.json"], ".html"),
    (["bench", "-o", "-", "--html", "-"], "both write to standard output"),
    (["report", "-o", "pipe.html"], "is a device or a pipe; name a file"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), REFUSALS)
def test_an_output_of_another_kind_is_refused_with_what_writes_it(
    traces, here, capsys, arguments, words
):
    os.mkfifo("pipe.html")
    assert _run(traces, *arguments, "--force") == 2
    error = capsys.readouterr().err
    assert words.replace("@", f"{traces}/") in error
    assert error.count("\n") == 1
    assert os.listdir() == ["pipe.html"]


@pytest.mark.costly
@pytest.mark.parametrize(
    ("arguments", "start", "words"),
    [
        (["render", "@a.zarr.zip"], b"<!doctype html>", ""),
        (["compare", "@a.zarr.zip", "@b.zarr"], b"<!doctype html>", "- "),
        (["export", "@a.zarr.zip", "--format", "svg"], b"<svg", "Logit-lens"),
        (["export", "@a.zarr.zip", "--format", "csv"], b"", "Logit-lens"),
        (["export", "@a.zarr.zip", "--format", "png"], b"\x89PNG\r\n\x1a\n", "Logit-lens"),
        (["export", "@p.zarr", "--figure", "profile", "--format", "pdf"], b"%PDF-", ""),
    ],
)
def test_a_hyphen_writes_the_same_bytes_to_standard_output(
    traces, here, capfdbinary, arguments, start, words
):
    assert _run(traces, *arguments, "-o", "-") == 0
    output = capfdbinary.readouterr()
    assert output.out.lower().startswith(start.lower())
    assert words.encode() in output.err
    assert os.listdir() == []
    form = arguments[-1] if "--format" in arguments else "html"
    assert _run(traces, *arguments, "-o", f"x.{form}") == 0
    assert Path(f"x.{form}").read_bytes() == output.out


def test_a_terminal_is_not_sent_the_bytes_of_a_picture(traces, here, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert _run(traces, "export", "@a.zarr.zip", "--format", "png", "-o", "-") == 2
    assert "redirect it, or name a file" in capsys.readouterr().err


@pytest.fixture
def recorded(monkeypatch):
    """Return a trace, which `report` and `extract` get from a run that takes no time."""
    trace = synthetic(layers=2, heads=2, window=False)

    def run(options, output=None, force=False, **destination):
        return trace if output is None else Trace.open(trace.save(output, force=force))

    for command in ("report", "extract"):
        monkeypatch.setattr(f"attentropy.report.commands.{command}.extract_trace", run)
    return trace


def test_report_says_the_answer_and_the_page(here, capsys, recorded):
    with without_pictures():
        assert main(["report", "--save-trace", "t.zarr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Answer: Canberra"
    assert all(line.startswith("- ") for line in lines[1:-2])
    assert lines[-2] == "Wrote t.zarr."
    assert re.match(r"Wrote report\.html \(.* [kM]B\)\. Open it in a browser\.$", lines[-1])


def test_an_answer_that_was_cut_short_says_how_to_get_more(here, capsys, recorded):
    recorded.dataset.attrs["options"] = {"max_new_tokens": 3}
    recorded.dataset["generated_content"][:] = 1
    assert main(["extract"]) == 0
    line = "Answer: Canberra … (the first 3 tokens; see --max-new-tokens)\n"
    assert capsys.readouterr().out.startswith(line)
    recorded.dataset["generated_content"][-1] = 0  # it ended by itself
    assert main(["extract", "--force"]) == 0
    assert capsys.readouterr().out.startswith("Answer: Canberra\n")


def test_extract_says_the_next_step(here, capsys, recorded):
    assert main(["extract", "-o", "it's.zarr.zip"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Answer: Canberra"
    assert re.match(r"Wrote it's\.zarr\.zip \(.* kB\)\. Next: attentropy render ", lines[1])
    assert lines[1].endswith("""render 'it'"'"'s.zarr.zip'""")


def test_a_page_on_standard_output_is_all_of_it(here, capsys, recorded):
    with without_pictures():
        assert main(["report", "-o", "-"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("<!doctype html>")
    assert output.err.startswith("Answer: Canberra\n- ")
    assert os.listdir() == []


@pytest.mark.costly
def test_resuming_a_finished_run_says_so_and_succeeds(traces, here, capsys):
    for name in ("t.zarr", "t.zarr.zip"):
        before = save_synthetic(here / name, layers=1, heads=1, window=False).stat()
        for arguments in ([], ["--force"], ["--json"]):
            assert main(["extract", "-p", "x", "-o", name, "--resume", *arguments]) == 0
            output = capsys.readouterr()
            assert output.err == f"note: {name} is finished; there is nothing to resume\n"
            if arguments == ["--json"]:
                assert json.loads(output.out)["path"] == name
            else:
                assert f"Next: attentropy render {name}" in output.out
        assert (here / name).stat() == before
    assert main(["extract", "-p", "x", "-o", "none.zarr", "--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    (here / "broken.zarr.zip").write_text("no trace")
    assert main(["extract", "-p", "x", "-o", "broken.zarr.zip", "--resume"]) == 1


def test_bench_keeps_its_results_and_says_how_to_show_them(here, capsys, monkeypatch):
    case = VocabularyCase(8, 8, 16, "float32", "cpu")
    rows = (Row(0, "ours", "ours", case.flops, (1e-3, 2e-3, 3e-3), 3),)
    ceilings = {"flops_per_second": 1e9, "bytes_per_second": 1e9}
    facts = {"device": "a machine"}
    results = Results("vocabulary", "attentropy bench", "ours", facts, ceilings, (case,), rows)
    monkeypatch.setattr("attentropy.report.commands.bench._measure", lambda **options: results)
    assert main(["bench"]) == 0
    assert capsys.readouterr().out.endswith("again: attentropy bench --read bench.json\n")
    assert Path("bench.json").read_text("utf-8") == results.to_json()
    assert main(["bench", "-o", "-"]) == 0
    assert capsys.readouterr().out == results.to_json()
    assert main(["bench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(results.to_json())
    assert main(["bench", "--read", "bench.json", "--html", "-"]) == 0
    assert capsys.readouterr().out.lower().startswith("<!doctype html>")
    assert main(["bench", "--html", "b.html"]) == 0
    assert "Wrote b.html" in capsys.readouterr().out
    assert sorted(os.listdir()) == ["b.html", "bench.json"]


@pytest.mark.parametrize(
    ("arguments", "name"), [(["profile"], "profile.html"), (["bench"], "bench.json")]
)
def test_a_measurement_is_not_begun_where_its_result_exists(here, capsys, arguments, name):
    (here / name).write_text("mine")
    assert main(arguments) == 2
    assert f"'{name}' exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "x/..", "\n", "x\0.zarr", "y" * 300 + ".zarr"]
)
@pytest.mark.parametrize("options", [[], ["--force"], ["--resume"], ["--resume", "--force"]])
def test_what_is_no_name_of_an_output_is_one_line(here, capsys, name, options):
    assert main(["extract", "-p", "x", "-o", name, *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert "--debug" not in error
    assert os.listdir() == []

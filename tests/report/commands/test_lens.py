"""`attentropy lens fit` writes a file that report and extract read, and says how good it is."""

import json

import pytest

from attentropy import Trace
from attentropy.report.cli import main
from tiny import save

pytestmark = pytest.mark.costly


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a tiny model, another one, and texts."""
    base = tmp_path_factory.mktemp("lens")
    save(base / "tiny")
    save(base / "wider", hidden_size=64)
    (base / "a.txt").write_text("The quick brown fox jumps over the lazy dog. " * 8)
    (base / "b.txt").write_text("It was not a dark and stormy night, or was it? " * 8)
    (base / "short.txt").write_text("Too short.")
    return base


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Return a function that runs a command in the folder: exit code, output, messages."""
    monkeypatch.chdir(folder)

    def command(*arguments):
        code = main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


@pytest.fixture
def lens(run):
    """Return the name of a fit of the tiny model."""
    name = "tiny.lens.safetensors"
    code, out, err = run("lens", "fit", "tiny", "--text", "a.txt", "b.txt", "-o", name, "--force")
    assert (code, err) == (0, "note: 736 tokens are few for a fit; 2,000 or more are advised\n")
    lines = out.splitlines()
    assert lines[1].split() == [
        "layer", "KL", "plain", "translated", "agreement", "plain", "translated",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:4]] == ["0", "1"]
    assert lines[4].startswith(f"Wrote {name} (")
    assert lines[4].endswith(f"Next: attentropy report tiny --lens-translator {name}")
    return name


def test_a_fit_is_read_by_report_extract_and_export(run, lens):
    code, _, err = run(
        "extract", "tiny", "-p", "Hi", "--lens-translator", lens, "-o", "t.zarr.zip",
        "--test-sources", "none",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert Trace.open("t.zarr.zip").sites == ["residual", "translated"]
    code, _, err = run(
        "report", "tiny", "-p", "Hi", "--lens-translator", lens, "-o", "t.html",
        "--test-sources", "none",
    )  # fmt: skip
    assert (code, err) == (0, "")
    with open("t.html", encoding="utf-8") as page:
        text = page.read()
    assert '<option value="translated">translated lens</option>' in text
    assert "predicts the next token; cannot show rehearsal" in text
    code, _, err = run("export", "t.zarr.zip", "--site", "translated", "-o", "t.svg")
    assert (code, err) == (0, "")
    with open("t.svg", encoding="utf-8") as figure:
        assert "rehearsal at" not in figure.read().lower()


def test_a_fit_as_json_has_the_table(run):
    code, out, err = run(
        "lens", "fit", "tiny", "--text", "a.txt", "--text", "b.txt", "--tokens", "600",
        "-o", "j.lens.safetensors", "--json",
    )  # fmt: skip
    facts = json.loads(out)
    assert code == 0
    assert err.startswith("note: 600 tokens are few")
    assert facts["tokens"] == 600
    assert [row["layer"] for row in facts["layers"]] == [0, 1]
    assert set(facts["layers"][0]) == {
        "layer", "kl", "kl_before", "agreement", "agreement_before", "penalty",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["tiny", "--text", "short.txt"], 2, "'short.txt' has 10 tokens, fewer than one window"),
        (["tiny", "--text", "a.txt", "--tokens", "90"], 2, "a fit needs at least 300 tokens"),
        (["tiny", "--text", "none.txt"], 2, "cannot read 'none.txt': No such file or directory"),
        (["tiny"], 2, "Missing option '--text'"),
        (["--text", "a.txt"], 2, "Missing argument 'MODEL'"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(run, arguments, code, message):
    actual, out, err = run("lens", "fit", *arguments, "-o", "x.lens.safetensors")
    assert (actual, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_the_output_is_checked_first(run, lens):
    code, _, err = run("lens", "fit", "tiny", "--text", "a.txt", "-o", "x.zarr")
    assert (code, err) == (
        2, "error: 'x.zarr': this command writes a file that ends in .lens.safetensors\n",
    )  # fmt: skip
    code, _, err = run("lens", "fit", "tiny", "--text", "a.txt", "-o", lens)
    assert code == 2
    assert "exists; use --force to replace it" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["wider"], "--lens-translator: 'tiny.lens.safetensors' is for residuals of width 48"),
        (["tiny", "--lens", "none"], "--lens-translator needs a lens that reads the residuals: "
                                     "--lens residual"),
    ],
)  # fmt: skip
def test_a_translator_that_does_not_fit_is_one_line(run, lens, arguments, message):
    code, _, err = run(
        "extract", *arguments, "-p", "Hi", "--lens-translator", lens, "-o", "x.zarr.zip"
    )
    assert code == 2
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_file_that_is_no_translator_is_one_line(run):
    code, _, err = run("extract", "tiny", "-p", "Hi", "--lens-translator", "a.txt", "-o", "y.zarr")
    assert code == 2
    assert err.startswith("error: --lens-translator: 'a.txt' cannot be read: its header is too la")


def test_info_counts_the_second_reading(run, lens):
    costs = []
    for more in ([], ["--lens-translator", lens]):
        code, out, _ = run("info", "tiny", "--tokens", "200", "--json", *more)
        assert code == 0
        costs.append(json.loads(out)["disk"]["lens_bytes"])
    assert costs[1] == pytest.approx(2 * costs[0], abs=1)

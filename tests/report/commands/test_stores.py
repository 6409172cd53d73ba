"""Every command with every kind of store: what it makes of it, or the line in which it refuses."""

import hashlib
import re
from pathlib import Path

import pytest

from attentropy.report.cli import main
from attentropy.report.export.export import export
from pictures import without_pictures
from stores import NAMES, make_stores, pair
from traces import save_synthetic

# What each command makes of a store: PAGE, FIGURE, FACTS, or the words of its refusal.
PAGE, FIGURE, FACTS = "a page", "a figure", "facts"
SAVED = "is a saved comparison of two traces, not a trace: draw it with attentropy render"
UNFINISHED = "is unfinished: 0 of 17 tokens"
OLD = "a comparison that an earlier version saved as a trace; compare its two traces again"
NEGATIVE = "(lens_)?entropy is -0.28 at .*, below 0"
CUT, NEWER = "truncated", "newer than this version supports"
NO_TRACE, NO_STORE = "not an attentropy trace", "no such file or folder"

# kind -> what render, export, info and compare (with a trace as B) make of it
MATRIX = {
    "trace": (PAGE, FIGURE, FACTS, PAGE),
    "zipped trace": (PAGE, FIGURE, FACTS, PAGE),
    "partial": (UNFINISHED, UNFINISHED, FACTS, UNFINISHED),
    "redacted trace": (PAGE, FIGURE, FACTS, "A is redacted"),
    "comparison": (PAGE, FIGURE, FACTS, SAVED),
    "zipped comparison": (PAGE, FIGURE, FACTS, SAVED),
    "redacted comparison": (PAGE, FIGURE, FACTS, SAVED),
    "version 2 comparison": (OLD,) * 4,
    "negative": (NEGATIVE,) * 4,
    "foreign": (NO_TRACE,) * 4,
    "zipped foreign": (NO_TRACE,) * 4,
    "truncated trace": (CUT,) * 4,
    "truncated comparison": (CUT,) * 4,
    "newer trace": (NEWER,) * 4,
    "newer comparison": (NEWER, NEWER, NEWER, SAVED),
    "absent": (NO_STORE,) * 4,
}
COMMANDS = ("render", "export", "info", "compare")
CELLS = [
    pytest.param(
        command, kind, expected, id=f"{command}-{kind}",
        marks=[pytest.mark.costly] if expected == PAGE else [],
    )
    for kind, row in MATRIX.items()
    for command, expected in zip(COMMANDS, row, strict=True)
]  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    return make_stores(tmp_path_factory.mktemp("stores"))


def _digest(path: Path) -> str:
    """Return a digest of a file or of all files of a folder, with their names."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return hashlib.sha256(b"".join(str(p).encode() + p.read_bytes() for p in files)).hexdigest()


def _arguments(command, stores, kind):
    """Return the command, and the file that it writes."""
    path, result = str(stores[kind]), {"export": "r.csv"}.get(command, "r.html")
    if command == "compare":
        return [command, path, str(stores["trace"]), "-o", result], result
    return ([command, path] if command == "info" else [command, path, "-o", result]), result


def test_the_matrix_names_every_kind_of_store(stores):
    assert list(MATRIX) == list(stores)


@pytest.mark.parametrize(("command", "kind", "expected"), CELLS)
def test_a_command_draws_a_store_or_refuses_it_in_one_line(
    stores, here, capsys, command, kind, expected
):
    before = [_digest(stores[name]) for name in ("trace", kind)]
    arguments, result = _arguments(command, stores, kind)
    with without_pictures():
        code = main(arguments)
    output = capsys.readouterr()
    assert [_digest(stores[name]) for name in ("trace", kind)] == before
    if expected in (PAGE, FIGURE, FACTS):
        assert (code, output.err) == (0, "")
        assert (here / result).exists() == (expected != FACTS)
        is_about_two = "comparison" in kind or command == "compare"
        text = output.out if expected == FACTS else (here / result).read_text("utf-8")
        sign = {PAGE: "B − A by layer and position", FIGURE: "B − A (nats)", FACTS: "comparison "}[
            expected
        ]
        assert (sign in text) == is_about_two
        negative = r"[-−]0\.\d+ nats of entropy|lens is most uncertain.{0,40}[-−]0\.\d"
        assert not re.search(negative, text)
    else:
        assert code == 1 if "A is" not in expected else code == 2
        assert output.err.count("\n") == 1
        assert re.search(expected, output.err)
        assert list(here.iterdir()) == []


@pytest.mark.costly
def test_an_unfinished_trace_is_drawn_on_request(stores, here):
    with without_pictures():
        assert main(["render", "--partial", str(stores["partial"]), "-o", "r.html"]) == 0


@pytest.mark.costly
@pytest.mark.parametrize("command", ["report", "extract"])
@pytest.mark.parametrize("kind", list(MATRIX))
def test_a_store_given_as_a_model_stays_as_it_is(stores, here, capsys, command, kind):
    before = _digest(stores[kind])
    result = {"report": "r.html", "extract": "r.zarr"}[command]
    with without_pictures():
        code = main([command, str(stores[kind]), "-o", result])
    error = capsys.readouterr().err
    assert code == 0 or (code in (1, 2) and error.count("\n") == 1)
    assert command == "report" or code
    assert (here / result).exists() == (code == 0)
    assert _digest(stores[kind]) == before


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Return a folder with two traces and their comparison with all texts, as commands wrote it."""
    folder = tmp_path_factory.mktemp("two")
    for seed, name in enumerate(NAMES):
        save_synthetic(folder / name, layers=2, heads=2, window=False, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["compare", *NAMES, "-o", "whole.zarr"]) == 0
    return folder


@pytest.mark.costly
@pytest.mark.parametrize("redacted", [False, True])
def test_a_saved_comparison_gives_the_bytes_that_the_comparison_gives(
    two, here, drawn_once, redacted
):
    for path in two.iterdir():
        (here / path.name).symlink_to(path)
    redact = ["--redact-tokens"] * redacted
    with without_pictures():
        assert main(["compare", *NAMES, *redact, "-o", "made.html"]) == 0
        compared = Path("made.html").read_bytes()
        for name in ("d.zarr", "d.zarr.zip"):
            assert main(["compare", *NAMES, *redact, "-o", name]) == 0
            assert main(["render", name, "-o", "r.html", "--force"]) == 0
            assert Path("r.html").read_bytes() == compared
        assert main(["render", "whole.zarr", *redact, "-o", "r.html", "--force"]) == 0
        assert Path("r.html").read_bytes() == compared
    difference = pair(redacted=redacted)
    with drawn_once():
        for figure, form in (("lens", "csv"), ("attention", "csv"), ("lens", "svg")):
            options = ["--figure", figure, "-o", f"f.{form}", "--force"]
            assert main(["export", "d.zarr.zip", *options]) == 0
            assert Path(f"f.{form}").read_bytes() == export(difference, figure, form).data


def test_info_says_of_which_two_a_comparison_is(stores, capsys):
    assert main(["info", str(stores["comparison"])]) == 0
    output = capsys.readouterr().out
    for words in ("comparison ", *NAMES, "aligned by", "token ids", "tokens in both"):
        assert words in output


OUTPUTS = {
    "render": ["render", "{0}", "-o", "{1}"],
    "export": ["export", "{0}", "-o", "{1}"],
    "compare A": ["compare", "{0}", "{2}", "-o", "{1}"],
    "compare B": ["compare", "{2}", "{0}", "-o", "{1}"],
    "report -f": ["report", "-f", "{0}", "-o", "{1}"],
    "report --save-trace": ["report", "-f", "{0}", "-o", "r.html", "--save-trace", "{1}"],
    "extract --ids": ["extract", "--ids", "{0}", "-o", "{1}"],
    "extract MODEL": ["extract", "{0}", "-o", "{1}"],
    "profile -m": ["profile", "-m", "{0}", "-o", "{1}"],
    "bench --html": ["bench", "--read", "{0}", "--html", "{1}"],
}


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "another way", "within"])
@pytest.mark.parametrize("command", list(OUTPUTS))
def test_an_input_is_never_overwritten_not_even_by_force(here, capsys, command, way):
    ending = ".csv" if command == "export" else ".zarr"
    other = save_synthetic("other.zarr", layers=1, heads=1, window=False)
    source = here / f"s{ending}"
    source.write_text("an input")
    target = {
        "itself": source, "link": here / f"l{ending}", "hard link": here / f"h{ending}",
        "another way": here / "folder" / ".." / source.name, "within": here / "w.zarr" / "r",
    }[way]  # fmt: skip
    (here / "folder").mkdir()
    if way == "link":
        target.symlink_to(source)
    elif way == "hard link":
        target.hardlink_to(source)
    elif way == "within":
        source = save_synthetic(here / "w.zarr", layers=1, heads=1, window=False)
        target = source / f"r{ending}"
    before = _digest(source)
    arguments = [part.format(source, target, other) for part in OUTPUTS[command]]
    assert main([*arguments, "--force"]) == 2
    error = capsys.readouterr().err
    assert "an input is never overwritten" in error
    assert error.count("\n") == 1
    assert _digest(source) == before


def test_a_page_may_be_written_into_the_folder_of_a_model(here):
    from attentropy.engine.output.check import check_output

    (here / "model").mkdir()
    check_output(here / "model" / "r.html", inputs=[here / "model"])

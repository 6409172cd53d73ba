"""Every code block of README and docs runs, in order, in one folder with a fresh model."""

import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest

import attentropy
from attentropy.engine.demo import path as embedded_folder
from attentropy.report.cli import main
from traces import synthetic

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MEASUREMENTS = [ROOT / "tests/benchmarks/README.md", ROOT / "engine/demo/README.md"]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Limits for what takes minutes as it stands.
LIMITS = {
    "bench": ["--seconds", "0", "--sizes", "64", "--rival", "ours, entropy"],
    "profile": ["--tokens", "64", "--repeat", "1"],
}
SET_UP = ("make", "source", "pip", "python3")


def blocks(document):
    return BLOCK.findall(document.read_text("utf-8"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the folder in which a reader follows a document, with the files that it names."""
    monkeypatch.chdir(tmp_path)
    for name in ("my-model", "MODEL"):
        (tmp_path / name).symlink_to(embedded_folder(), target_is_directory=True)
    question = "What is the capital of France?"
    (tmp_path / "prompt.txt").write_text(question)
    (tmp_path / "messages.json").write_text(f'[{{"role": "user", "content": "{question}"}}]')
    (tmp_path / "ids.txt").write_text("5 6 7")
    (tmp_path / "book.txt").write_text("Paris is a city. " * 20)
    return tmp_path


@pytest.fixture
def names(folder):
    """Return what an example may use: a fresh model, its tokenizer, tensors, and stores."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    a, b = synthetic(), synthetic(seed=1)
    for name in ("t.zarr", "t.zarr.zip"):
        a.save(name)
    attentropy.compare(a, b).save("d.zarr")
    tokenizer = AutoTokenizer.from_pretrained("my-model")
    ids = tokenizer("What is the capital of France?", return_tensors="pt")["input_ids"]
    q, k, v = torch.randn(3, 1, 4, 16, 8).unbind()
    model = AutoModelForCausalLM.from_pretrained("my-model").eval()
    return {"model": model, "tokenizer": tokenizer, "input_ids": ids, "q": q, "k": k, "v": v}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_of_a_language_that_is_tested(document):
    text = document.read_text("utf-8")
    assert {language for language, _ in blocks(document)} <= {"python", "sh", "text"}
    indented = re.findall(r"(?<=\n\n) {4}\S.*", BLOCK.sub("", text))
    assert indented == [], "a code block needs its language"


@pytest.mark.costly
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_of_a_document_runs_in_order(document, names):
    code = [block for language, block in blocks(document) if language == "python"]
    assert code or document.name not in ("README.md", "trace-format.md")
    for block in code:
        exec(compile(block, str(document), "exec"), names)


def commands(document):
    """Yield the words of every command of the shell blocks, comments left out."""
    for language, block in blocks(document):
        if language == "sh":
            for line in block.replace("\\\n", " ").splitlines():
                if words := shlex.split(line, comments=True):
                    yield words


@pytest.mark.costly
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_commands_of_a_document_run_in_order(document, folder, monkeypatch, capsys):
    for words in commands(document):
        if words[0] in SET_UP:
            continue
        if words[0] == "echo":
            text = words[1].encode()
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
            words = words[words.index("|") + 1 :]
        if words[:2] == ["python", "-c"]:
            exec(words[2], {})
            continue
        assert words[0] == "attentropy", words
        assert main([*words[1:], *LIMITS.get(words[1], [])]) == 0, (words, capsys.readouterr().err)
        if "-o" in words:
            assert Path(words[words.index("-o") + 1]).exists(), words
    names = {path.name for path in folder.iterdir()}
    if document.name == "README.md":
        assert names >= {"report.html", "trace.html", "compare.html", "profile.html", "bench.json"}


def test_the_set_up_names_what_the_project_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    lines = [words for words in commands(ROOT / "README.md") if words[0] in SET_UP]
    assert {words[0] for words in lines} == set(SET_UP)
    for words in lines:
        if words[0] == "make":
            assert words[1] in targets
        for extra in re.findall(r"\[(\w+)\]", " ".join(words)):
            assert extra in extras
        for wheel in re.findall(r"attentropy-(\S+?)-py3", " ".join(words)):
            assert wheel == attentropy.__version__


@pytest.mark.parametrize("document", MEASUREMENTS, ids=lambda path: path.parent.name)
def test_a_command_that_measures_has_its_options(document):
    """These take minutes or a GPU: they are parsed, not run."""
    from importlib import import_module

    text = document.read_text("utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}attentropy (.+?)(?:\s{2,}#.*)?$", text, re.MULTILINE)
    assert lines
    for line in lines:
        name, *arguments = shlex.split(line.replace("$R", ""), comments=True)
        command = import_module(f"attentropy.report.commands.{name}").command
        command.make_context(name, arguments)  # raises for an option that does not exist

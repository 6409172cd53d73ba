"""Every code block of README and docs runs, in order, in one folder with a fresh model."""

import io
import json
import re
import shlex
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
from wording import phrases_in

import attentropy
import ggufs
from attentropy.engine.demo import path as embedded_folder
from attentropy.report.cli import main
from pictures import without_pictures
from quick import quick_measurements
from traces import save_synthetic, synthetic

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REAL = ROOT / "tests/real/README.md"
MEASUREMENTS = [ROOT / "tests/benchmarks/README.md", ROOT / "engine/demo/README.md"]
BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh", "text"}
PROGRAMS = r"attentropy|make|source|pip|python3?|echo|import|from"
# Limits for what takes minutes as it stands.
LIMITS = {
    "bench": ["--seconds", "0", "--sizes", "64", "--rival", "ours, entropy"],
    "profile": ["--tokens", "64", "--repeat", "1"],
}
SET_UP = ("make", "source", "pip", "python3")
HAS_GGUF = ggufs.can_be_read()
# What commands write where no output is named.
DEFAULTS = {"trace.html", "compare.html", "profile.html", "bench.json"}


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
    (tmp_path / "parts.json").write_text('{"start": [0, 8]}')
    (tmp_path / "book.txt").write_text("Paris is a city. " * 80)
    if HAS_GGUF:
        ggufs.write(tmp_path / "model.gguf")
    return tmp_path


@pytest.fixture
def names(folder):
    """Return what an example may use: a fresh model, its tokenizer, tensors, and stores."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for name in ("t.zarr", "t.zarr.zip"):
        save_synthetic(name)
    attentropy.compare(synthetic(), synthetic(seed=1)).save("d.zarr")
    tokenizer = AutoTokenizer.from_pretrained("my-model")
    ids = tokenizer("What is the capital of France?", return_tensors="pt")["input_ids"]
    config = json.loads((embedded_folder() / "config.json").read_text("utf-8"))
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    params = {
        f"{i}.{part}": torch.zeros(shape)
        for i in range(layers)
        for part, shape in (("weight", (width, width)), ("bias", (width,)))
    }
    torch.save(params, "params.pt")  # as a tuned lens's
    q, k, v = torch.randn(3, 1, 4, 16, 8).unbind()
    model = AutoModelForCausalLM.from_pretrained("my-model").eval()
    return {"model": model, "tokenizer": tokenizer, "input_ids": ids, "q": q, "k": k, "v": v}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_is_of_a_language_that_is_tested(document):
    text = document.read_text("utf-8")
    assert {language for language, _ in blocks(document)} <= LANGUAGES
    rest = BLOCK.sub("", text)
    code = re.findall(r"(?<=\n\n)(?: {4}|\t)\S.*|^ *(?:```|~~~).*", rest, re.MULTILINE)
    assert code == [], "a code block needs its language"
    for language, block in blocks(document):
        assert language != "text" or not re.search(rf"^({PROGRAMS})\b", block, re.MULTILINE), block


@pytest.mark.parametrize(
    "document", [*DOCUMENTS, *MEASUREMENTS, REAL, ROOT / "CHANGELOG.md"],
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)  # fmt: skip
def test_no_document_has_a_forbidden_phrase(document):
    prose = re.sub(r"`[^`]*`", "‹›", BLOCK.sub("", document.read_text("utf-8")))
    assert phrases_in(" ".join(prose.split())) == []


def commands_in(block):
    """Return the words of every command of a shell block, comments left out."""
    lines = block.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def recipe(target):
    """Return the arguments that a target of the Makefile gives to the command line, if any."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    rule = re.search(rf"^{target}:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    line = re.search(r"attentropy\.report\.cli (.*)", rule[1])
    return shlex.split(line[1]) if line else None


WITH_CODE = [path for path in DOCUMENTS if {"python", "sh"} & set(dict(blocks(path)))]


@pytest.mark.costly
@pytest.mark.parametrize(
    ("document", "whole"),
    [
        *((document, False) for document in WITH_CODE),
        *(pytest.param(document, True, marks=pytest.mark.slow) for document in WITH_CODE),
    ],
    ids=lambda value: getattr(value, "name", "whole" if value else "quick"),
)
def test_the_blocks_of_a_document_run_in_order(document, whole, folder, names, monkeypatch, capsys):
    """Unless `whole`, its dozen pages have no pictures, and measurements do not fill their time."""
    with ExitStack() as stack:
        if not whole:
            stack.enter_context(without_pictures())
            stack.enter_context(quick_measurements())
        for language, block in blocks(document):
            if language == "python":
                exec(compile(block, str(document), "exec"), names)
            elif language == "sh":
                for words in commands_in(block):
                    run(words, monkeypatch, capsys)
    if document.name == "README.md":
        assert {path.name for path in folder.iterdir()} >= DEFAULTS


def run(words, monkeypatch, capsys):
    """Run one command in this process; what installs is checked by the test of the set-up."""
    if words[0] == "make" and (arguments := recipe(words[1])):
        words = ["attentropy", *arguments]
    if words[0] in SET_UP or ("model.gguf" in words and not HAS_GGUF):
        return
    if words[0] == "echo":
        assert words[2] == "|"
        text = io.TextIOWrapper(io.BytesIO(words[1].encode()))
        monkeypatch.setattr("sys.stdin", text)
        words = words[3:]
    if words[:2] == ["python", "-c"]:
        exec(words[2], {})
        return
    assert words[0] == "attentropy", words
    assert main([*words[1:], *LIMITS.get(words[1], [])]) == 0, (words, capsys.readouterr().err)
    if "-o" in words:
        assert Path(words[words.index("-o") + 1]).exists(), words


def test_the_set_up_names_what_the_project_has():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = set(project["project"]["optional-dependencies"])
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    shell = [block for kind, block in blocks(ROOT / "README.md") if kind == "sh"]
    lines = [words for block in shell for words in commands_in(block) if words[0] in SET_UP]
    assert {words[0] for words in lines} == set(SET_UP)
    for words in lines:
        if words[0] == "make":
            assert words[1] in targets
        elif words[0] in ("source", "python3"):
            assert words in (["source", ".venv/bin/activate"], ["python3", "-m", "venv", ".venv"])
        else:
            assert words[:2] in (["pip", "install"], ["pip", "wheel"])
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

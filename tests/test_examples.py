"""The examples of docstrings run on a model as a user loads it; see also test_documents."""

import doctest
import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import attentropy
from attentropy.engine import demo
from attentropy.engine.trace.drawn import Drawn
from attentropy.report.compare.difference import Difference
from attentropy.report.export.exported import Exported
from quick import quick_measurements
from read_aloud import public_functions

ROOT = Path(__file__).parents[1]
SECTIONS = ("Args:", "Returns:", "Raises:", "Examples:")


@pytest.fixture
def names(tmp_path, monkeypatch):
    """Return what an example may use: a fresh model, its tokenizer and some tensors."""
    (tmp_path / "my-model").symlink_to(demo.path(), target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    model = AutoModelForCausalLM.from_pretrained("my-model").eval()
    tokenizer = AutoTokenizer.from_pretrained("my-model")
    ids = tokenizer("What is the capital of France?", return_tensors="pt")["input_ids"]
    q, k, v = torch.randn(3, 1, 4, 16, 8).unbind()
    return {"model": model, "tokenizer": tokenizer, "input_ids": ids, "q": q, "k": k, "v": v}


EXAMPLES = {**public_functions(), "Trace": attentropy.Trace, "report": Drawn.report}


@pytest.mark.costly
@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_of_a_docstring_gives_what_it_shows(name, names):
    example = doctest.DocTestFinder(recurse=False).find(EXAMPLES[name], name, globs=names)
    with quick_measurements():
        results = [doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(one) for one in example]
    assert sum(one.attempted for one in results) > 0
    assert not any(one.failed for one in results)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in ("Trace", "report")])
def test_help_has_its_sections_and_names_every_parameter(name):
    import inspect

    words = inspect.getdoc(EXAMPLES[name])
    for section in SECTIONS:
        assert section in words or (section, name) == ("Returns:", "record")
    for parameter in inspect.signature(EXAMPLES[name]).parameters:
        assert re.search(rf"^    (\w+, )?(\*\*)?{parameter}(, \w+)?: ", words, re.M), parameter


def test_help_of_a_method_has_its_sections():
    import inspect

    methods = {
        "Trace": ("open", "save", "lens", "report", "to_html", "export"),
        "Difference": ("open", "save"), "Exported": ("save",),
    }  # fmt: skip
    for home in (attentropy.Trace, Difference, Exported):
        for name in methods[home.__name__]:
            words = inspect.getdoc(getattr(home, name))
            for section in ("Args:", "Returns:", "Raises:"):
                assert section in words, (home, name)

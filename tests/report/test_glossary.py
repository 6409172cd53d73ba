"""The glossary: complete, short, the same in docs, on the command line and in texts."""

import importlib.util
from pathlib import Path

import pytest

from attentropy.report.cli import main
from attentropy.report.glossary import TERMS, all_names, find, forms_in_texts

ROOT = Path(__file__).parents[2]
WANTED = (
    "lens entropy", "attention entropy", "template token", "dummy token", "rehearsal",
    "attention sink", "rank", "nat", "normalized entropy", "KL", "logit lens", "residual site",
    "attention site", "MLP site", "induction head", "previous-token head", "head score",
    "visible keys", "map", "tile", "max probability", "top key", "target log-probability",
    "difference B − A",
)  # fmt: skip


@pytest.mark.parametrize("name", WANTED)
def test_a_term_that_users_ask_for_is_defined_in_one_sentence(name):
    term = find(name)
    assert term is not None
    assert find(f"{name.upper()}s") in (term, None)
    assert term.definition.endswith(".")
    assert ". " not in term.definition
    assert 40 <= len(term.definition) <= 220


def test_names_keys_and_references_are_sound():
    names = [name.casefold() for name in all_names()]
    assert len(set(names)) == len(names)
    assert len({term.key for term in TERMS}) == len(TERMS)
    assert [term.name for term in TERMS] == sorted((t.name for t in TERMS), key=str.casefold)
    for term in TERMS:
        assert all(find(name).name == name != term.name for name in term.see)


def test_longer_words_are_looked_for_before_the_shorter_ones_in_them():
    forms = [form for form, _ in forms_in_texts()]
    assert forms.index("normalized attention entropy") < forms.index("attention entropy")
    assert len(set(forms)) == len(forms)


def test_the_page_of_the_docs_is_written_from_the_glossary():
    place = ROOT / "docs/glossary.py"
    spec = importlib.util.spec_from_file_location("docs_glossary", place)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs/glossary.md").read_text("utf-8") == script.page()


def test_explain_prints_a_definition_and_related_terms(capsys):
    for words in (["lens", "entropy"], ["Lens entropy"], ["logit-lens entropy"]):
        assert main(["explain", *words]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert out.startswith("lens entropy (also: logit-lens entropy)")
        assert find("lens entropy").definition in out
        assert "See also: logit lens" in out


def test_explain_without_a_term_lists_all_of_them(capsys):
    assert main(["explain"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{term.name}" in f"\n{out}" for term in TERMS)


@pytest.mark.parametrize(
    ("wrong", "near"), [("rehersal", "rehearsal"), ("inductionhead", "induction head"),
                        ("entrop", "lens entropy or attention entropy")],
)  # fmt: skip
def test_explain_suggests_what_was_meant(wrong, near, capsys):
    assert main(["explain", wrong]) == 2
    assert f"did you mean {near}" in capsys.readouterr().err


def test_explain_says_where_the_list_is_for_a_term_unlike_all(capsys):
    assert main(["explain", "zzzz"]) == 2
    assert "'zzzz' is not in the glossary: `attentropy explain` lists" in capsys.readouterr().err

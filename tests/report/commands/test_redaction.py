"""Redacted pages and traces contain no token id and no word of the prompt or the answer."""

import base64
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.redaction import redact
from attentropy.report.cli import main
from attentropy.report.compare.difference import compare
from attentropy.report.findings.compared import observe
from attentropy.report.read import views
from programs import run
from report_text import everything, page_text
from traces import CHAT, profiled, synthetic

pytestmark = pytest.mark.costly

# Words and ids that occur nowhere else on a page.
TOKENS = [
    f"zq{i}xvorn" if "<" not in text and text.strip() else text for i, text in enumerate(CHAT)
]
SECRET = [f"zq{i}xvorn" for i in range(30)] + ["wykvoz", "Vonbert"]
WORDS = [f"wykvoz{i}" for i in range(8)]
FIRST_ID = 7_650_000


def _secret(tokens=TOKENS, answer=("Von", "bert"), **options):
    roles = ["bos", *["template"] * 4, *["content"] * (len(tokens) - 10), *["template"] * 5]
    trace = synthetic(
        tokens, roles, layers=2, heads=2, words=WORDS, generated=answer, **options
    )  # fmt: skip
    dataset = trace.dataset
    for name in ("token_ids", "generated_ids", "target_ids", "rehearsal_ids", "lens_top_ids",
                 "vocabulary_ids"):  # fmt: skip
        dataset[name] = dataset[name] + FIRST_ID
    dataset.attrs["model"] = {**dataset.attrs["model"], "vocabulary": 8_000_000}
    dataset.attrs |= {
        "answer": "".join(answer), "notes": ["the chat template rewrites 'zq5xvorn' of turn 1"],
        "partial": {"tokens": 17, "done": 17, "reason": "ValueError: zq6xvorn"},
    }  # fmt: skip
    return Trace(dataset)


def _tells(text):
    """List the words and ids of the secret trace that a text contains."""
    return [word for word in SECRET if word in text] + re.findall(r"\b765\d{4}\b", text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return _secret().save(tmp_path_factory.mktemp("secret") / "t.zarr")


def test_the_page_of_a_redacted_trace_has_no_word_and_no_id(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(saved), "--redact-tokens", "-o", "r.html", "--json"]) == 0
    output = capsys.readouterr().out
    page = (tmp_path / "r.html").read_text("utf-8")
    assert _tells(page_text(page)) == _tells(output) == []
    assert len(_tells(everything(_secret()))) > 10
    assert "‹content·8›" in page
    assert "‹vocabulary·7›" in page
    assert "‹answer·7›" in page
    assert "the same number for the same token" in page
    texts = json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1])["texts"]
    words = json.loads(zlib.decompress(base64.b64decode(texts["words"])))
    assert "‹template·17›" in [*words["short"], *words["full"].values()]
    assert _tells(json.dumps(words, ensure_ascii=False)) == []


def test_a_redacted_trace_keeps_its_values_and_which_tokens_are_equal(tmp_path):
    trace = _secret()
    path = redact(trace).save(tmp_path / "t.zarr.zip")
    redacted = Trace.open(path)
    every = {name: redacted[name] for name in map(str, redacted.dataset.variables)}
    values = " ".join(str(v.tolist()) for v in every.values()) + json.dumps(redacted.attrs)
    assert _tells(values) == []
    assert "sha256" not in redacted.attrs["prompt"]
    for name in ("byte_start", "byte_end"):
        assert name not in redacted
    for name, values in every.items():
        if not name.endswith(("_ids", "_text")):
            np.testing.assert_array_equal(values, trace[name])
    joined = [np.concatenate([t[n].ravel() for n in every if n.endswith("_ids")])
              for t in (trace, redacted)]  # fmt: skip
    pairs = set(zip(*(ids.tolist() for ids in joined), strict=True))
    assert len(pairs) == len(set(joined[0].tolist())) == len(set(joined[1].tolist()))
    assert max(joined[1]) == len(pairs) - 1
    assert redact(redacted) is redacted


def test_missing_ids_stay_missing():
    trace = _secret()
    trace.dataset["rehearsal_ids"].values[0, :, 2] = -1
    assert (redact(trace)["rehearsal_ids"][0, :, 2] == -1).all()
    assert (redact(trace)["rehearsal_ids"][0, :, 3] >= 0).all()


@pytest.mark.parametrize("command", ["report", "extract"])
def test_a_run_leaves_no_word_beside_what_it_was_asked_for(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(
        parameters, *, scratch, **options
    ):  # with an output, texts would be on disk for a while
        assert not {"output", "resume", "keep_cache"} & set(options)
        return _secret()

    monkeypatch.setattr(f"attentropy.report.commands.{command}.extract_trace", run)
    target = {
        "report": ["-o", "r.html", "--save-trace", "t.zarr"], "extract": ["-o", "t.zarr"],
    }[command]  # fmt: skip
    assert main([command, "--redact-tokens", *target]) == 0
    trace = Trace.open("t.zarr")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    written = "".join(capsys.readouterr()) + " ".join(trace.tokens) + json.dumps(trace.attrs)
    assert _tells(written + " ".join(p.read_bytes().decode("latin-1") for p in files)) == []
    assert {p.name for p in tmp_path.iterdir()} == {"t.zarr", *target[1:2]}


def test_a_run_that_may_go_on_cannot_be_redacted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", "--redact-tokens", "--resume"]) == 2
    assert "--redact-tokens leaves nothing to resume" in capsys.readouterr().err


# Two tokens longer; one token and the answer are replaced by others of the same length.
OTHER = [*TOKENS[:6], "zq98xvorn", "zq99xvorn", "zq97xvorn", *TOKENS[7:]]


def _other():
    """Return the trace of another prompt with the same vocabulary."""
    trace = _secret(OTHER, ("Von", "wykvoz3"), seed=1)
    ids = _secret()["token_ids"]
    ids = np.concatenate([ids[:6], FIRST_ID + 900 + np.arange(3, dtype=np.int32), ids[7:]])
    attrs = trace.attrs | {"prompt": {**trace.attrs["prompt"], "sha256": "9" * 64}}
    return Trace(
        trace.dataset.assign_coords(token_ids=("position", ids)).assign_attrs(attrs)
    )  # fmt: skip


@pytest.fixture(scope="module")
def both():
    """Return the comparison of two traces, with and without their texts."""
    ours = compare(_secret(), _other())
    return ours, compare(_secret(), _other(), redact=True)


def test_two_traces_without_texts_are_aligned_as_their_texts_are(both):
    ours, theirs = both
    assert ours.kind.tolist().count(0) == len(TOKENS) - 1
    for name in ("kind", "at_a", "at_b"):
        np.testing.assert_array_equal(getattr(theirs, name), getattr(ours, name))
    for view, values in ours.sides.items():
        np.testing.assert_array_equal(theirs.sides[view], values)
    for name in ("entropy", "lens_entropy", "lens_top_logprobs", "top_key"):
        np.testing.assert_array_equal(theirs.dataset[name], ours.dataset[name])
    named = [of.dataset["lens_top_ids"].values.ravel().tolist() for of in (ours, theirs)]
    assert len(set(zip(*named, strict=True))) == len(set(named[0])) == len(set(named[1]))


def test_what_differs_in_the_texts_differs_without_them(both):
    findings, same = map(observe, both)
    assert [replace(one, text="") for one in findings] == [replace(one, text="") for one in same]
    texts = {one.id: one.text for one in same}
    assert re.search(r"“‹(\d+)·answer·7›” in A, “‹(?!\1·)\d+·answer·10›” in B", texts["answer"])
    assert "The predicted next token differs" in texts["predictions"]
    (a, b) = re.search(
        r"“‹(\d+)·vocab\S*” in A, “‹(\d+)·vocab\S*” in B", texts["predictions"]
    ).groups()
    assert a != b
    for name in ("lens", "attention"):
        labels = [views.read_view(of, name).texts(0, of.kind.size, 14) for of in both]
        arrows = [[["→" in text for text in row] for row in rows] for rows in labels]
        assert arrows[0] == arrows[1]
        assert sum(map(sum, arrows[0])) > 10


def test_tokens_aligned_by_their_texts_are_aligned_without_them():
    a, b = _secret(), _other()
    for trace, hash in ((a, "a"), (b, "b")):
        trace.dataset.attrs["tokenizer"] = {"sha256": hash * 64}
    b.dataset["token_ids"].values[:] = b["token_ids"][::-1]
    b.dataset["role"].values[6] = "content" if b.roles[6] == "template" else "template"
    ours, theirs = compare(a, b), compare(a, b, redact=True)
    assert ours.by_text
    assert theirs.by_text
    np.testing.assert_array_equal(theirs.kind, ours.kind)


def test_the_page_of_two_traces_has_no_word_and_no_id(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    other = str(_other().save("b.zarr"))
    for options, tells in ((["--redact-tokens"], False), ([], True)):
        arguments = [str(saved), other, *options, "-o", "r.html", "--force"]
        assert main(["compare", *arguments]) == 0
        output = "".join(capsys.readouterr())
        page = (tmp_path / "r.html").read_text("utf-8")
        assert bool(_tells(page_text(page))) is bool(_tells(output)) is tells
        assert ("text is redacted" in page) is not tells
        assert "One model on two prompts" in page
    assert {p.name for p in tmp_path.iterdir()} == {"b.zarr", "r.html"}


def test_traces_that_were_redacted_apart_are_not_compared(tmp_path):
    with pytest.raises(UsageError, match=r"B is redacted.*`redact=True`"):
        compare(_secret(), redact(_secret()))


def _read(file):
    """Return all text of an exported file: its bytes, and what PDF programs extract from it."""
    data = file.read_bytes()
    text = data.decode("latin-1") + data.decode("utf-8", "replace")
    if file.suffix == ".pdf":
        text += (run("pdftotext", file, "-") + run("pdfinfo", file)).decode()
    return text


@pytest.fixture(scope="module")
def everything_saved(tmp_path_factory):
    """Save a secret trace that has the variables of every figure and return its path."""
    of = profiled(layers=2).dataset
    timed = {name: of[name] for name in map(str, of) if name.startswith("profile_")}
    scores = ("layer", "score_head"), np.full((2, 2), 0.5, np.float32)
    dataset = _secret().dataset.assign(timed | {"head_sink": scores})
    dataset = dataset.assign_coords(score_head=("score_head", np.arange(2, dtype=np.int32)))
    dataset = dataset.assign_attrs(profile=of.attrs["profile"])
    return Trace(dataset).save(tmp_path_factory.mktemp("every") / "t.zarr")


@pytest.mark.parametrize(
    "figure",
    [
        "lens", "map", "profile",
        *(pytest.param(figure, marks=pytest.mark.slow) for figure in ("attention", "heads")),
    ],
)  # fmt: skip
def test_a_figure_of_a_redacted_trace_has_no_word(
    figure, everything_saved, drawn_once, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    def written(format, *options):
        command = ["export", str(everything_saved), "--figure", figure, "--dpi", "50", "--force"]
        assert main([*command, "-o", f"f.{format}", *options]) == 0
        return _read(tmp_path / f"f.{format}") + capsys.readouterr().out

    with drawn_once():
        for format in ("svg", "png", "pdf", "csv"):
            assert _tells(written(format, "--redact-tokens")) == []
    if figure in ("lens", "attention"):
        assert "‹content·8›" in _read(tmp_path / "f.csv")
        assert len(_tells(written("csv"))) > 8
        assert _tells(written("pdf"))

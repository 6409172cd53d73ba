"""A page and a trace that are redacted hold no word of the prompt, of the answer, and no id."""

import json
import re

import numpy as np
import pytest

from attentropy.engine.redaction import redacted
from attentropy.engine.trace import Trace
from attentropy.report.cli import main
from report_text import everything, told
from traces import CHAT, synthetic

# Words that nothing else on a page says, and ids that no other number is.
TOKENS = [
    f"zq{i}xvorn" if "<" not in text and text.strip() else text for i, text in enumerate(CHAT)
]
SECRET = [f"zq{i}xvorn" for i in range(30)] + ["wykvoz", "Vonbert"]
WORDS = [f"wykvoz{i}" for i in range(8)]
FIRST_ID = 7_650_000


def _secret():
    roles = ["bos", *["template"] * 4, *["content"] * 7, *["template"] * 5]
    trace = synthetic(TOKENS, roles, layers=2, heads=2, words=WORDS, generated=["Von", "bert"])
    dataset = trace.dataset
    for name in ("token_ids", "generated_ids", "target_ids", "rehearsal_ids", "lens_top_ids",
                 "vocabulary_ids"):  # fmt: skip
        dataset[name] = dataset[name] + FIRST_ID
    dataset.attrs |= {
        "answer": "Vonbert", "notes": ["the chat template rewrites 'zq5xvorn' of turn 1"],
        "partial": {"tokens": 17, "done": 17, "reason": "ValueError: zq6xvorn"},
    }  # fmt: skip
    return Trace(dataset)


def _tells(text):
    """Words and ids of the secret that a text holds."""
    return [word for word in SECRET if word in text] + re.findall(r"\b765\d{4}\b", text)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return _secret().save(tmp_path_factory.mktemp("secret") / "t.zarr")


def test_the_page_of_a_redacted_trace_has_no_word_and_no_id(saved, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["render", str(saved), "--redact-tokens", "-o", "r.html", "--json"]) == 0
    said = capsys.readouterr().out
    page = (tmp_path / "r.html").read_text("utf-8")
    assert _tells(told(page)) == _tells(said) == []
    assert len(_tells(everything(_secret()))) > 10
    assert "‹content·8›" in page
    assert "‹vocabulary·7›" in page
    assert "‹answer·7›" in page
    assert "a number of this trace" in page
    texts = json.loads(re.search(r'id="report">(.*?)</script>', page, re.S)[1])["texts"]
    assert "‹template·17›" in [*texts["short"], *texts["full"].values()]


def test_a_redacted_trace_keeps_its_values_and_which_tokens_are_equal(tmp_path):
    trace = _secret()
    path = redacted(trace).save(tmp_path / "t.zarr.zip")
    kept = Trace.open(path)
    every = {name: kept[name] for name in map(str, kept.dataset.variables)}
    values = " ".join(str(v.tolist()) for v in every.values()) + json.dumps(kept.attrs)
    assert _tells(values) == []
    assert "sha256" not in kept.attrs["prompt"]
    for name in ("byte_start", "byte_end"):
        assert name not in kept
    for name, values in every.items():
        if not name.endswith(("_ids", "_text")):
            np.testing.assert_array_equal(values, trace[name])
    joined = [np.concatenate([t[n].ravel() for n in every if n.endswith("_ids")])
              for t in (trace, kept)]  # fmt: skip
    pairs = set(zip(*(ids.tolist() for ids in joined), strict=True))
    assert len(pairs) == len(set(joined[0].tolist())) == len(set(joined[1].tolist()))
    assert max(joined[1]) == len(pairs) - 1
    assert redacted(kept) is kept


def test_missing_ids_stay_missing():
    trace = _secret()
    trace.dataset["rehearsal_ids"].values[0, :, 2] = -1
    assert (redacted(trace)["rehearsal_ids"][0, :, 2] == -1).all()
    assert (redacted(trace)["rehearsal_ids"][0, :, 3] >= 0).all()


@pytest.mark.parametrize("command", ["report", "extract"])
def test_a_run_leaves_no_word_beside_what_it_was_asked_for(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*, scratch, **options):  # and no output, where texts would be for a while
        assert not {"output", "resume", "keep_cache"} & set(options)
        return _secret()

    monkeypatch.setattr(f"attentropy.report.commands.{command}.run", run)
    target = {
        "report": ["-o", "r.html", "--save-trace", "t.zarr"], "extract": ["-o", "t.zarr"],
    }[command]  # fmt: skip
    assert main([command, "--redact-tokens", *target]) == 0
    kept = Trace.open("t.zarr")
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    written = "".join(capsys.readouterr()) + " ".join(kept.tokens) + json.dumps(kept.attrs)
    assert _tells(written + " ".join(p.read_bytes().decode("latin-1") for p in files)) == []
    assert {p.name for p in tmp_path.iterdir()} == {"t.zarr", *target[1:2]}


def test_a_run_that_may_go_on_cannot_be_redacted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["extract", "--redact-tokens", "--resume"]) == 2
    assert "--redact-tokens keeps nothing" in capsys.readouterr().err

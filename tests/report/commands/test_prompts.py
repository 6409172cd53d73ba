"""Commands take a prompt as text, from a file or standard input, as messages or as token ids."""

import io
import json

import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from tiny import save

pytestmark = pytest.mark.costly

# What these tests do not read, and what takes most of the time of a short run.
LESS = ["--lens", "none", "--no-scores", "--map-tile", "none"]


def test_the_prompt_comes_from_a_file_standard_input_or_messages(here, capsys, monkeypatch):
    save(here / "tiny")
    (here / "p.txt").write_text("héllo", "utf-8")
    (here / "m.json").write_text(json.dumps([{"role": "user", "content": "héllo"}]), "utf-8")
    base = ["extract", "tiny", "--max-new-tokens", "0", "--force", *LESS]
    assert main([*base, "-f", "p.txt", "-o", "a.zarr"]) == 0
    assert main([*base, "-m", "m.json", "-o", "b.zarr"]) == 0
    stdin = io.TextIOWrapper(io.BytesIO((here / "p.txt").read_bytes()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*base, "-f", "-", "-o", "c.zarr"]) == 0
    ids = [list(Trace.open(f"{n}.zarr")["token_ids"]) for n in "abc"]
    assert ids[0] == ids[1] == ids[2]


def test_the_prompt_may_be_token_ids(here, monkeypatch):
    save(here / "tiny")
    (here / "ids.json").write_text("[256, 64, 65]")
    (here / "ids.txt").write_text("256 64\n65\n")
    base = ["extract", "tiny", "--max-new-tokens", "0", "--force", *LESS]
    assert main([*base, "--ids", "ids.json", "-o", "a.zarr"]) == 0
    assert main([*base, "--ids", "ids.txt", "-o", "b.zarr"]) == 0
    stdin = io.TextIOWrapper(io.BytesIO(b"256 64 65"))
    monkeypatch.setattr("sys.stdin", stdin)
    assert main([*base, "--ids", "-", "-o", "c.zarr"]) == 0
    traces = [Trace.open(f"{n}.zarr") for n in "abc"]
    assert [list(trace["token_ids"]) for trace in traces] == [[256, 64, 65]] * 3
    assert traces[0].roles == ["bos", "content", "content"]


def test_messages_may_hold_tool_turns_and_parts_and_what_is_left_out_is_noted(here, capsys):
    save(here / "tiny")
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "héllo"}]},
        {"role": "assistant", "content": "so", "tool_calls": [call]},
        {"role": "tool", "content": "3"},
    ]
    (here / "m.json").write_text(json.dumps(turns), "utf-8")
    run = ["extract", "tiny", "-m", "m.json", "--max-new-tokens", "0", "-o", "t.zarr", *LESS]
    assert main(run) == 0
    trace = Trace.open("t.zarr")
    words = [t for t, r in zip(trace.tokens, trace.roles, strict=True) if r == "content"]
    assert "".join(words) == "hélloso3"


def test_a_doubled_bos_is_noted_on_standard_error_and_in_the_trace(here, capsys):
    save(here / "tiny")
    (here / "ids.txt").write_text("256 256 64")
    assert main(["extract", "tiny", "--ids", "ids.txt", "-o", "t.zarr", *LESS]) == 0
    assert "note: the prompt starts with <|bos|> twice" in capsys.readouterr().err
    assert "<|bos|> twice" in Trace.open("t.zarr").attrs["notes"][0]


def test_a_raw_prompt_without_lens(here):
    save(here / "tiny")
    run = ["extract", "tiny", "-p", "abc", "--no-chat-template", "--lens", "none", "-o", "t.zarr"]
    assert main(run) == 0
    trace = Trace.open("t.zarr")
    assert trace.tokens[: trace.prompt_tokens] == ["a", "b", "c"]
    assert "lens_entropy" not in trace


def test_a_document_and_a_question_are_segments_of_the_trace_and_arguments_reach_the_template(here):
    save(here / "tiny")
    (here / "d.txt").write_text("héllo\n", "utf-8")
    base = ["extract", "tiny", "-f", "d.txt", "--question", "so?", "--max-new-tokens", "0"]
    assert main([*base, "--template-args", '{"depth": 1}', "--scores", "-o", "t.zarr"]) == 0
    trace = Trace.open("t.zarr")
    assert list(trace["segment"]) == [
        {"h": "document", "s": "question"}.get(piece, "") for piece in _spelt(trace, "héllo", "so?")
    ]
    assert set(trace["message"].tolist()) == {-1, 0}
    assert trace.attrs["notes"][0] == "the chat template does not read 'depth'"
    assert Trace.open("t.zarr").roles.count("content") == len("hello\n\nso?") + 1  # é: two bytes


def _spelt(trace, document, question):
    """Return "h" for each token of the document, "s" for each of the question, "" for others."""
    text = "".join(trace.tokens).encode()
    ranges = {
        "h": (start := text.index(document.encode()), start + len(document.encode())),
        "s": (start := text.index(question.encode()), start + len(question.encode())),
    }
    starts = trace["byte_start"].tolist()
    return [next((n for n, (a, b) in ranges.items() if a <= at < b), "") for at in starts]


def test_a_blank_prompt_runs_where_there_is_a_template(here, capsys):
    save(here / "tiny")
    base = ["extract", "tiny", "-p", "", "--max-new-tokens", "0", *LESS, "-o"]
    assert main([*base, "a.zarr"]) == 0
    assert main([*base, "b.zarr", "--no-chat-template"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err

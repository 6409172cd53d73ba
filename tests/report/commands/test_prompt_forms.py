"""Prompts in the forms in which people have them: text, messages and token ids, with a BOM too."""

import io
import json

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.statistics import BY_NAME
from attentropy.report.cli import main
from attentropy.report.commands.prompt import parse_template_args, read_prompt

TURNS = [{"role": "user", "content": "héllo"}, {"role": "assistant", "content": "so\n"}]
LINES = "\n".join(json.dumps(turn) for turn in TURNS)
IDS = [256, 64, 65]
MARK = b"\xef\xbb\xbf"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _give_input(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize("way", ["-p", "-f"])
def test_a_hyphen_reads_the_text_from_standard_input(monkeypatch, way):
    _give_input(monkeypatch, "héllo\n".encode())
    text, file = ("-", None) if way == "-p" else (None, "-")
    assert read_prompt(text, file, None, None) == "héllo\n"


@pytest.mark.parametrize("mark", [b"", MARK])
@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (json.dumps(TURNS), TURNS),
        (json.dumps(TURNS, indent=2), TURNS),
        (json.dumps({"messages": TURNS}), TURNS),
        (json.dumps([{"messages": TURNS}]), TURNS),
        (json.dumps(TURNS[0]), TURNS[:1]),
        (LINES, TURNS),
        (LINES.replace("\n", "\r\n\r\n") + "\n\n", TURNS),
        (json.dumps({"messages": TURNS}) + "\n", TURNS),
    ],
)
def test_messages_are_a_list_an_object_or_lines(here, capsys, written, wanted, mark):
    (here / "m.json").write_bytes(mark + written.encode())
    assert read_prompt(None, None, "m.json", None) == wanted
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "the list of messages is empty"),
        ("[" * 100_000, "nested too deeply"),
        ("{", "m.json' is not valid JSON"),
        ('[{"role": "user",\n"content"}]', "m.json' is not valid JSON"),
        (LINES + "\nso", "line 3 is not valid JSON"),
        ('"hello"', "messages are a JSON list"),
        ("[1, 2]", "messages are a JSON list"),
        ("{}", "messages are a JSON list"),
        ("[]", "the list of messages is empty"),
        ('{"messages": []}', "the list of messages is empty"),
        ('{"messages": "hello"}', "messages are a JSON list"),
        ('{"content": "hello"}', "messages are a JSON list"),
        ('{"messages": [{"messages": 1}]}', "messages are a JSON list"),
        (f"{json.dumps({'messages': TURNS})}\n" * 3, "has 3 conversations; give a file with one"),
    ],
)
def test_what_is_no_list_of_messages_is_refused(here, written, words):
    (here / "m.json").write_text(written)
    with pytest.raises(UsageError, match=words):
        read_prompt(None, None, "m.json", None)


def test_what_is_beside_the_messages_is_noted(here, capsys):
    (here / "m.json").write_text(json.dumps({"messages": TURNS, "user": "u", "id": 3}))
    assert read_prompt(None, None, "m.json", None) == TURNS
    assert capsys.readouterr().err == (
        "note: 'm.json': only \"messages\" and \"tools\" are read, not 'user', 'id'\n"
    )


def test_tools_come_with_the_messages(here, capsys):
    request = {"messages": TURNS, "tools": [{"type": "function", "function": {"name": "f"}}]}
    (here / "m.json").write_text(json.dumps(request))
    assert read_prompt(None, None, "m.json", None) == request
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("written", ["{", "[1]", "[" * 100_000, '"x"'])
def test_arguments_of_the_template_are_an_object(written):
    with pytest.raises(UsageError, match="--template-args") as caught:
        parse_template_args(written)
    assert "\n" not in str(caught.value)
    assert parse_template_args('{"enable_thinking": false}') == {"enable_thinking": False}


@pytest.mark.parametrize("mark", [b"", MARK])
@pytest.mark.parametrize(
    "written",
    [
        "[256, 64, 65]", "[[256, 64, 65]]", '{"input_ids": [256, 64, 65], "attention_mask": [1]}',
        '{"input_ids": [[256, 64, 65]]}', "256,64,65", "256, 64, 65\n", "256 64\n65",
        "256,64,65,\n",        "256\t64 ,65", "256\r\n64\r\n65",
    ],
)  # fmt: skip
def test_ids_are_json_or_numbers_between_commas_or_blanks(here, written, mark):
    (here / "ids").write_bytes(mark + written.encode())
    assert read_prompt(None, None, None, "ids") == IDS


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("1 two", "neither JSON nor whole numbers"),
        ("1.5, 2", "neither JSON nor whole numbers"),
        ("1,,2", "neither JSON nor whole numbers"),
        ("[1", "neither JSON nor whole numbers"),
        ("[" * 100_000, "neither JSON nor whole numbers"),
        ("", "no token id"),
        ("[]", "no token id"),
        ("[[]]", "no token id"),
        ('{"input_ids": []}', "no token id"),
        ("[1, 2.0]", "other than whole numbers"),
        ("[true]", "other than whole numbers"),
        ("[[[1]]]", "other than whole numbers"),
        ("[1, [2]]", "other than whole numbers"),
        ('{"ids": [1]}', 'has no "input_ids"'),
        ("[[1], [2]]", "has 2 lists of token ids; give one of them"),
    ],
)
def test_what_is_no_list_of_ids_is_refused(here, written, words):
    (here / "ids").write_text(written)
    with pytest.raises(UsageError, match=words):
        read_prompt(None, None, None, "ids")


def test_a_byte_order_mark_is_dropped_from_a_text_with_a_note(here, capsys):
    (here / "p.txt").write_bytes(MARK + "héllo".encode())
    assert read_prompt(None, "p.txt", None, None) == "héllo"
    error = capsys.readouterr().err
    assert error == "note: 'p.txt' starts with a byte-order mark, which is not part of the prompt\n"


def test_a_file_of_another_encoding_is_told_how_to_save_it(here):
    (here / "p.txt").write_bytes("héllo".encode("utf-16"))
    with pytest.raises(UsageError, match="UTF-16 text; save it as UTF-8"):
        read_prompt(None, "p.txt", None, None)


def test_a_terminal_is_told_how_to_end_the_prompt(monkeypatch, capsys):
    _give_input(monkeypatch, b"hello")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert read_prompt("-", None, None, None) == "hello"
    assert "note: type the prompt, then end it with Ctrl-" in capsys.readouterr().err


@pytest.mark.costly
def test_all_statistics_and_all_sites_are_kept_of_ids_from_standard_input(here, monkeypatch):
    _give_input(monkeypatch, b'{"input_ids": [[5, 6, 7]]}')
    run = ["extract", "--ids", "-", "--stats", "all", "--lens", "all", "--max-new-tokens", "0"]
    assert main([*run, "--no-scores", "-o", "t.zarr"]) == 0
    trace = Trace.open("t.zarr")
    assert list(trace["token_ids"]) == [5, 6, 7]
    assert list(trace["site"]) == ["residual", "attention", "mlp"]
    for name in BY_NAME.keys() - {"sink_prob"}:
        assert name in trace

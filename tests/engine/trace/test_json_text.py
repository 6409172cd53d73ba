"""JSON from a stranger: what Python's reader takes and later steps cannot is refused in words."""

import json

import pytest

from attentropy.engine.trace.checks.json_text import BadJson, parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("[" * 40 + "]" * 40, "nested too deeply"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("1e999", "1e999 is not a JSON number"),
        ("9" * 5000, "out of range"),
        (str(2**63), "out of range"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        (b"\xff", "not UTF-8 at byte 0"),
        ("", "not valid JSON"),
        ("[1, 2" + " " * 2**20, "too large"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_words(text, message):
    with pytest.raises(BadJson, match=message):
        parse_json(text, max_bytes=2**20)


@pytest.mark.parametrize("text", ['"\\ud83d"', '{"a\\uDFFF": ["x\\ud800"]}', '["\ud83d"]'])
def test_halves_of_characters_are_replaced_and_whole_ones_kept(text):
    json.dumps(parse_json(text), ensure_ascii=False).encode()  # raises for a half
    assert "�" in str(parse_json(text))
    assert parse_json(text, keep_halves=True) == json.loads(text)
    assert parse_json('"\\ud83d\\ude00é"') == "😀é"


def test_what_a_run_may_have_written_is_read_where_that_is_asked_for():
    assert parse_json("[NaN, -Infinity]", finite=False)[1] == -float("inf")
    assert parse_json(json.dumps({"a": [1, 2.5, None, True, "b"]})) == {
        "a": [1, 2.5, None, True, "b"]
    }
    assert parse_json(str(2**63 - 1)) == 2**63 - 1

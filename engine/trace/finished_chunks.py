"""What the finished chunks of an unfinished run say, read as a stranger's: answer and vocabulary.

A chunk is finished where its commit exists, and all before it are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.checks.json_text import parse_json
from attentropy.engine.trace.checks.unreadable import UNREADABLE
from attentropy.engine.trace.chunk_files import read_facts
from attentropy.engine.trace.schema import ROLES
from attentropy.engine.trace.types import JsonObject

ANSWER = "answer"  # the fact of a commit that names the generated tokens
RUN, CHUNK = "run", "chunk"  # the facts that say to which run and to which chunk a commit belongs
_MOST_IDS = 2**31


@dataclass(frozen=True)
class AnswerTokens:
    """Ids, texts and roles of the answer's tokens that are finished, a value each per token."""

    ids: list[int]
    texts: list[str]
    roles: list[str]


def run_digest(run: Mapping[str, Any]) -> str:
    """Return what tells a run from others: the digest of its facts without why it stopped."""
    facts = {name: value for name, value in run.items() if name != "reason"}
    return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def commit_facts(folder: Path, run: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the facts of each finished chunk in turn.

    Raises `TraceError` for a commit that cannot be read, or that belongs to another run or chunk.
    Earlier versions did not write to which it belongs.
    """
    own = run_digest(run)
    chunk = 0
    while (file := folder / "commits" / f"{chunk:06d}.safetensors").is_file():
        facts = read_facts(file)
        if facts.get(RUN, own) != own or facts.get(CHUNK, str(chunk)) != str(chunk):
            raise TraceError(
                f"{file.name}: a finished chunk of another run; start over with `force=True`"
            )
        yield facts
        chunk += 1


def answer_of(facts: Mapping[str, str]) -> AnswerTokens:
    """Return the tokens of the answer that a commit names. Raises `TraceError`."""
    try:
        answer = _object(facts, ANSWER)
        ids = [_checked_id(i) for i in answer.get("ids", [])]
        texts = [_checked_text(text) for text in answer.get("texts", [])]
        roles = list(answer.get("roles", ["generated"] * len(ids)))
        if not len(ids) == len(texts) == len(roles) or not set(roles) <= set(ROLES):
            raise ValueError("as many texts and roles as ids")
    except UNREADABLE as error:
        raise TraceError(
            "the answer in a finished chunk cannot be read; start over with `force=True`"
        ) from error
    return AnswerTokens(ids, texts, roles)


def vocabulary_of(facts: Mapping[str, str]) -> dict[int, str]:
    """Return the texts of the vocabulary entries that a commit names. Raises `TraceError`."""
    try:
        texts = _object(facts, "vocabulary")
        return {_checked_id(int(i)): _checked_text(text) for i, text in texts.items()}
    except UNREADABLE as error:
        raise TraceError(
            "the vocabulary in a finished chunk cannot be read; start over with `force=True`"
        ) from error


def _object(facts: Mapping[str, str], name: str) -> JsonObject:
    value = parse_json(facts.get(name, "{}"), finite=False)
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _checked_id(value: Any) -> int:
    if type(value) is not int or not -1 <= value < _MOST_IDS:
        raise ValueError("not a token id")
    return value


def _checked_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value

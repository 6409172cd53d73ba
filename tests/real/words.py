"""The judge's own words: which tokens belong to a word that says something.

A word lies between two word boundaries of Unicode (UAX 29). It is a content word if it has a letter
or a digit and is not in the list below, which is short on purpose: the commonest function words of
the languages of the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import regex

_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)
_EDGE = regex.compile(r"^[^\p{L}\p{N}]+|[^\p{L}\p{M}\p{N}]+$")
_FUNCTION_WORDS = """
    a about after all also am an and any are as at be been but by can could did do does each else
    few for from had has have he her him his how i i'd i'll i'm i've if in into is isn't it it's its
    let let's may me might more most my nor not of off on one or other our out over so some such
    than that that's the their them then there there's these they this those to too up us was we
    we're were what what's when when's where which while who whose why will with would you you're
    your
    aber als am an auch auf aus bei das dass dem den der des die dies diese du durch ein eine einem
    einen einer eines er es für hat hier ich ihr im in ist kann man mit nach nicht noch nur oder
    sein sich sie sind so über um und uns vom von war was wenn wer wie wir wird wo zu zum zur
    au aux avec c'est ce ces cette dans de des du elle en est et il ils je l la le les leur mais ne
    nous on ou par pas plus pour que qui sa se ses son sont sur un une vous
    al como con de del el ella en es esta este la las lo los más o para pero por que se son su
    sus también un una y
    أن إلى أو التي الذي على عن في لا ما من هذا هذه هو هي و
    的 了 是 在 和 与 也 或 这 那 我 你 他 她 它 们 吗 呢 之 于 不
"""
_FUNCTION = frozenset(_FUNCTION_WORDS.split())


def key_of(word: str) -> str:
    """Return a word as it is compared: case folded, without blanks and punctuation at its ends."""
    return _EDGE.sub("", word.casefold().replace("’", "'"))


def keys_of(text: str) -> set[str]:
    """Return the keys of all words of a text."""
    return {key for _, _, key in words_of(text)}


def words_of(text: str) -> list[tuple[int, int, str]]:
    """Return start, stop and key of every word that has a letter or a digit."""
    places = [0, *(match.start() for match in _BOUNDARY.finditer(text)), len(text)]
    spans = [(a, b) for a, b in pairwise(places) if a < b]
    return [(a, b, key) for a, b in spans if (key := key_of(text[a:b]))]


def is_content(key: str) -> bool:
    """Return whether a word says something."""
    return bool(key) and key not in _FUNCTION


class Words:
    """The words of a prompt and of its answer, and which tokens belong to which."""

    def __init__(self, tokenizer: Any, ids: Sequence[int], prompt: int) -> None:
        self.special = set(tokenizer.all_special_ids)
        self._keys = [
            *_keys_by_token(tokenizer, ids[:prompt], self.special),
            *_keys_by_token(tokenizer, ids[prompt:], self.special),
        ]
        self.of_prompt = keys_of(tokenizer.decode(ids[:prompt]))
        self.answer = tokenizer.decode(ids[prompt:], skip_special_tokens=True)

    def keys(self, position: int) -> list[str]:
        """Return the keys of the content words to which a token belongs."""
        return [key for key in self._keys[position] if is_content(key)]

    def is_content(self, position: int) -> bool:
        """Return whether a token belongs to a content word."""
        return bool(self.keys(position))


def _keys_by_token(tokenizer: Any, ids: Sequence[int], special: set[int]) -> list[list[str]]:
    """Return the keys of the words that each token shares a letter with."""
    ends = [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]
    text = tokenizer.decode(ids)
    words, keys = words_of(text), []
    for start, stop, token in zip([0, *ends], ends, ids, strict=False):
        own = [key for a, b, key in words if a < stop and start < b and text[a:b].strip()]
        keys.append([] if token in special else own)
    return keys

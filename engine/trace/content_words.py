"""Content words: those that say something, and not only how a sentence is built.

A word is a segment of the text by the default word boundaries of Unicode (UAX 29). It is a content
word if it has a letter or a digit and is no function word of the text's languages.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import regex

from attentropy.engine.trace.function_words import function_words
from attentropy.engine.trace.types import Array
from attentropy.engine.trace.units import starts_word
from attentropy.engine.trace.word_boundaries import split_at_boundaries

_EDGE = regex.compile(r"^[^\p{L}\p{N}]+|[^\p{L}\p{M}\p{N}]+$")


def word_key(word: str) -> str:
    """Return a word as it is compared with others: case folded, without blanks and punctuation.

    It is empty for a word without a letter or a digit.
    """
    folded = unicodedata.normalize("NFC", word).casefold().replace("’", "'")
    return str(_EDGE.sub("", folded))


def word_keys(text: str) -> set[str]:
    """Return the keys of all words of a text, function words too."""
    return {key for word in split_at_boundaries(text) if (key := word_key(word))}


def content_keys(tokens: Sequence[str], roles: Sequence[str]) -> list[str]:
    """Return for each token the key of the content word that it belongs to, "" for none.

    tokens: their texts, in order; roles: a change of role ends a word. Which words are function
    words is judged by the language of all tokens but the template's.
    """
    starts: Array = np.append(np.flatnonzero(starts_word(tokens, roles)), len(tokens))
    spans = list(pairwise(starts.tolist()))
    words = [word_key("".join(tokens[a:b])) for a, b in spans]
    function = function_words(
        key for (a, _), key in zip(spans, words, strict=True) if roles[a] not in ("template", "bos")
    )
    keys = [""] * len(tokens)
    for (a, b), key in zip(spans, words, strict=True):
        if key not in function:
            keys[a:b] = [key] * (b - a)
    return keys


def bare_word(word: str) -> str:
    """Return a word without blanks and punctuation at its ends."""
    own = [i for i, letter in enumerate(word) if unicodedata.category(letter)[0] in "LMN"]
    return word[own[0] : own[-1] + 1] if own else word.strip()


class Words:
    """The words of a text, to look for a word of another text in it."""

    def __init__(self, text: str) -> None:
        self._keys = word_keys(text)
        self._text = text.casefold()

    def __contains__(self, key: str) -> bool:
        """Whether the text has a word; a token of several words stands in it as a whole."""
        if key in self._keys or key.removesuffix("'s") in self._keys:
            return True
        return len(word_keys(key)) > 1 and key in self._text

    def has_start(self, key: str) -> bool:
        """Whether a word of the text begins with `key`."""
        return any(own.startswith(key) for own in self._keys)

"""The judge's own words: which tokens belong to a word that says something.

A word lies between two word boundaries of Unicode (UAX 29). It is a content word if it has a letter
or a digit and is no function word of the text's languages. Below are those of the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import regex

_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)
_EDGE = regex.compile(r"^[^\p{L}\p{N}]+|[^\p{L}\p{M}\p{N}]+$")
_FUNCTION_WORDS = {
    "English": """
        a about above after all also am an and any are aren't as at be because been before
        being below both but by can can't cannot could couldn't did didn't do does doesn't
        doing don't down each either else etc even ever every few for from further had
        hadn't has hasn't have haven't having he he'd he'll he's her here here's hers him
        his how however i i'd i'll i'm i've if in into is isn't it it'd it'll it's its
        itself just let let's many may me might mine more most much must my myself neither
        nor not now of off often on once one's only onto or other others our out over own
        per quite rather really same shall she she'd she'll she's should shouldn't since so
        some such than that that's the their theirs them then there there's therefore these
        they they'd they'll they're they've this those though through thus to too toward
        towards under until up upon us used using very was wasn't we we'd we'll we're we've were
        weren't what what's when when's where which while who whose why will with within
        without won't would wouldn't yet you you'd you'll you're you've your yours
    """,
    "German": """
        aber als also am an auch auf aus bei beim bin bis da damit dann das dass dein deine
        dem den denn der des dessen deren die dies diese diesem diesen dieser dieses doch
        dort du durch ein eine einem einen einer eines er es etwas für gegen gibt habe haben
        hat hatte hier ich ihm ihn ihr ihre im in ins ist jede jeder jedes kann können man
        mehr mein meine mich mir mit muss nach nicht nichts noch nun nur ob oder ohne schon
        sehr sein seine seit sich sie sind so soll sondern um und uns unser unter vom von
        vor war waren warum was weil welche welcher welches wenn wer werde werden wie wieder
        will wir wird wo wurde wurden zu zum zur zwischen über
    """,
    "French": """
        ai ainsi alors au aussi autre aux avait avec avez avons c'est ce ceci cela celle
        celui ces cet cette comme dans de des donc dont du elle elles en est et été était
        être eu fut il ils j je l la le les leur leurs lui ma mais me mes mon ne nos notre
        nous on ont ou où par pas peu plus pour pourquoi qu quand que quel quelle qui s sa
        sans se sera ses si son sont sous suis sur ta te tes toi ton tous tout toute toutes
        très tu un une vers vos votre vous y
    """,
    "Spanish": """
        al como con cual cuando de del desde donde el él ella ellas ellos en entre era es
        esa ese eso esta está este esto fue ha han hasta hay he la las le les lo los más me
        mi mis muy ni nos o os para pero por porque que qué se según ser sin sobre son su
        sus también te tiene tienen todo todos tu un una unas uno unos y ya yo
    """,
    "Arabic": """
        أن إن أنا أنت إلى أو أي أين التي الذي ثم حتى ذلك على عن عند غير في قد كان كل كم كما كيف
        لا ما متى من مع هذا هذه هل هم هو هي و يا
    """,
    "Chinese": """
        的 了 是 在 和 与 也 而 及 或 但 被 把 这 那 我 你 他 她 它 们 吗 呢 吧 啊 之 于 不 很 就 么
    """,
}  # fmt: skip
_BY_LANGUAGE = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}


def key_of(word: str) -> str:
    """Return a word as it is compared: case folded, without blanks and punctuation at its ends."""
    return _EDGE.sub("", word.casefold().replace("’", "'"))


def keys_of(text: str) -> set[str]:
    """Return the keys of all words of a text."""
    return {key for _, _, key in words_of(text)}


def boundaries_of(text: str) -> set[int]:
    """Return the places of a text where a word or a sign begins."""
    return {match.start() for match in _BOUNDARY.finditer(text)} | {0}


def bare_text(word: str) -> str:
    """Return a word without blanks and signs at its ends."""
    return _EDGE.sub("", word.strip())


def words_of(text: str) -> list[tuple[int, int, str]]:
    """Return start, stop and key of every word that has a letter or a digit."""
    places = [0, *(match.start() for match in _BOUNDARY.finditer(text)), len(text)]
    spans = [(a, b) for a, b in pairwise(places) if a < b]
    return [(a, b, key) for a, b in spans if (key := key_of(text[a:b]))]


def function_words_of(text: str) -> frozenset[str]:
    """Return the function words of the languages that a text uses: its first, and half as much."""
    keys = [key for _, _, key in words_of(text)]
    uses = {name: sum(key in own for key in keys) for name, own in _BY_LANGUAGE.items()}
    least = max(2, max(uses.values()) / 2)
    return frozenset().union(
        _BY_LANGUAGE["Arabic"],
        _BY_LANGUAGE["Chinese"],
        *([own for name, own in _BY_LANGUAGE.items() if uses[name] >= least]
          or [_BY_LANGUAGE["English"]]),
    )  # fmt: skip


class Words:
    """The words of a prompt and of its answer, and which tokens belong to which."""

    def __init__(
        self, tokenizer: Any, ids: Sequence[int], prompt: int, roles: Sequence[str]
    ) -> None:
        self.special = set(tokenizer.all_special_ids)
        self._keys = [
            *_keys_by_token(tokenizer, ids[:prompt], self.special),
            *_keys_by_token(tokenizer, ids[prompt:], self.special),
        ]
        self.of_prompt = keys_of(tokenizer.decode(ids[:prompt]))
        own = [i for i, role in zip(ids, roles, strict=True) if role not in ("template", "bos")]
        self._function = function_words_of(tokenizer.decode(own, skip_special_tokens=True))
        self.answer = tokenizer.decode(ids[prompt:], skip_special_tokens=True)

    def keys(self, position: int) -> list[str]:
        """Return the keys of the content words to which a token belongs."""
        return [key for key in self._keys[position] if key not in self._function]

    def any_keys(self, position: int) -> list[str]:
        """Return the keys of all words to which a token belongs."""
        return self._keys[position]

    def is_content(self, position: int) -> bool:
        """Return whether a token belongs to a content word."""
        return bool(self.keys(position))


def _keys_by_token(tokenizer: Any, ids: Sequence[int], special: set[int]) -> list[list[str]]:
    """Return the keys of the words that each token shares a letter with."""
    ends = [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]
    text = tokenizer.decode(ids)
    words, keys = words_of(text), []
    for start, stop, token in zip([0, *ends], ends, ids, strict=False):
        first = min(start, stop - 1)  # the last byte of a letter adds none
        own = [key for a, b, key in words if a < stop and first < b and text[a:b].strip()]
        keys.append([] if token in special else own)
    return keys

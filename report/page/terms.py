"""The words of a page that the glossary explains, as buttons that open their definitions.

A definition is a popover, which browsers open without a script, by mouse, touch and keyboard. The
page's script marks the texts that it writes in the same way, in `data/terms.js`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TypedDict

from markupsafe import Markup

from attentropy.report.glossary import TERMS, Term, forms_in_texts
from attentropy.report.units import glue

_FORMS = {form.lower(): term for form, term in forms_in_texts()}
# A quoted text is a token of the prompt, or an answer: none of its words is ours.
_PATTERN = (
    r"“[^”]*”|(?<![\w-])(?:" + "|".join(re.escape(form) for form, _ in forms_in_texts()) + r")s?"
    r"(?![\w-])"
).replace(r"\ ", " ").replace(r"\-", "-")  # fmt: skip
_WORDS = re.compile(_PATTERN, re.IGNORECASE)


class TermFacts(TypedDict):
    """What the script needs: where terms are in a text, and the key of each form."""

    pattern: str
    keys: dict[str, str]


def term_facts() -> TermFacts:
    """Return how the script finds terms in a text."""
    return {"pattern": _PATTERN, "keys": {form: term.key for form, term in _FORMS.items()}}


class Terms:
    """The terms of one page: each is marked where it first occurs in a section."""

    def __init__(self) -> None:
        self._keys_by_section: dict[str, set[str]] = defaultdict(set)

    def mark(self, text: str, section: str) -> Markup:
        """Return a text of the section `section`, escaped, with its terms as buttons."""
        parts, at = [], 0
        for match in _WORDS.finditer(text):
            term = _term_of(match[0])
            if term is None or term.key in self._keys_by_section[section]:
                continue
            self._keys_by_section[section].add(term.key)
            parts += [_escaped(text[at : match.start()]), _button(match[0], term)]
            at = match.end()
        return Markup("").join([*parts, _escaped(text[at:])])

    @staticmethod
    def definitions() -> Markup:
        """Return the definitions of all terms; each is shown when a button opens it."""
        return Markup("\n").join(_definition(term) for term in TERMS)


def _term_of(word: str) -> Term | None:
    """Return the term that a word of a text stands for; None for a quoted text."""
    return _FORMS.get(word.lower()) or _FORMS.get(word.lower().removesuffix("s"))


def _escaped(text: str) -> Markup:
    return Markup.escape(glue(text))


def _button(word: str, term: Term) -> Markup:
    return Markup(
        '<button type="button" class="term" popovertarget="term-{}" title="{}">{}</button>'
    ).format(term.key, term.definition, word)


def _definition(term: Term) -> Markup:
    return Markup('<div popover class="definition" id="term-{}"><dfn>{}</dfn>: {}</div>').format(
        term.key, term.name, Markup("<span>{}</span>").format(term.definition)
    )

"""What must hold for a text in each form in which it is shown."""

from __future__ import annotations

import re
import unicodedata

from label_texts import hidden_in

from attentropy.report.text import (
    cut,
    for_prompt,
    for_sentence,
    for_terminal,
    for_tooltip,
    label,
    mark_whitespace,
    shorten,
    shorten_middle,
    shorten_pair,
    width,
)

_TOWER = re.compile(r"[\u0300-\u036f\u0489\u20d0-\u20ff]{6,}")


def wrong_forms(text: str) -> list[str]:
    """Return what is wrong with the forms of a text, one line per form; nothing if all hold."""
    forms = {
        "mark_whitespace": (mark_whitespace(text[:2000]), ""),
        "for_terminal": (for_terminal(text[:2000]), " "),
        "for_sentence": (for_sentence(text), " "),
        "for_prompt": (for_prompt(text), " \n\t"),
        "for_tooltip": (for_tooltip(text), ""),
        "cut": (cut(for_sentence(text), 12), " "),
    }
    wrong = []
    for columns in (3, 5, 8, 16):
        forms[f"label {columns}"] = label(text, columns), ""
        forms[f"shorten_middle {columns}"] = shorten_middle(text, columns), ""
        forms[f"shorten_pair {columns}"] = shorten_pair(text, "of", columns), ""
        for name in ("label", "shorten_middle", "shorten_pair"):
            shown = forms[f"{name} {columns}"][0].translate({0x2068: None, 0x2069: None})
            if width(shown) > columns:
                wrong.append(f"{name} {columns}: {width(shown)} columns")
        if not label(text, columns).strip("\u2068\u2069"):
            wrong.append(f"label {columns}: empty")
    for name, (shown, besides) in forms.items():
        if hidden := hidden_in(shown, besides):
            wrong.append(f"{name}: {hidden[:5]} in {shown[:60]!a}")
        if _TOWER.search(shown):
            wrong.append(f"{name}: a tower of accents")
    first = mark_whitespace(text[:20])[0]
    if unicodedata.category(first) in ("Mn", "Me"):
        wrong.append("mark_whitespace: an accent without a letter")
    if len(shorten(text, 8)) > 80:
        wrong.append("shorten: too many characters")
    return wrong

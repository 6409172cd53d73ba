"""Addresses that a page may be opened with: those of its own states, and changed ones."""

from __future__ import annotations

import random
from urllib.parse import parse_qsl, quote

NAMES = (
    "view", "rows", "layer", "head", "palette", "a", "b", "col", "row", "mapLayer", "mapHead",
    "mapWindow", "values", "how", "stat", "site", "box", "dots", "sinks", "fit",
)  # fmt: skip
_REGION = ("q0", "q1", "k0", "k1")
_WORDS = (
    "lens", "attention", "layers", "heads", "diverging", "cividis", "weight", "entropy", "mean",
    "low", "high", "lens_kl", "lens_rank", "probability", "normalized_entropy", "max_prob",
    "distance", "sink_mass", "residual", "mlp", "translated", "true", "false",
)  # fmt: skip
_NUMBERS = (
    "0", "1", "2", "3", "5", "7", "12", "16", "17", "-1", "-2", "-99", "99", "1000000000",
    "9" * 40, "1e3", "1.5", "0x10", "NaN", "Infinity", "-0", "03", "+1", "٣", " 2", "2 ", "",
)  # fmt: skip
_ODD = (
    "%", "%zz", "%E0%80", "%00", "%F0%9F", "%ED%A0%80", "__proto__", "constructor", "toString",
    "hasOwnProperty", "<script>window.pwned=1</script>",
    "%3Cimg%20src=x%20onerror=window.pwned=1%3E", "null", "undefined", "[object Object]",
    "\u2800", "%E3%85%A4", "\u202eabc", "e" + "\u0301" * 60, "\U0001242b" * 9, "a" * 500, "1,2",
    "lens;attention", "LENS", "true;", "\u200f", "?",
)  # fmt: skip
_CHOSEN = {
    "view": ("lens", "attention"), "rows": ("layers", "heads"), "layer": ("0", "1", "2", "3"),
    "head": ("-1", "0", "2"), "row": ("0", "1"), "col": ("0", "5", "16"),
    "palette": ("diverging", "cividis"), "mapLayer": ("1", "4"), "values": ("weight", "entropy"),
    "stat": ("entropy", "lens_kl", "max_prob"), "box": ("true", "false"),
    "pin": ("c,3,lens.layers.0.-1", "c,4,attention.heads.1.-1"), "find": ("capital", "%20of", "x"),
}  # fmt: skip
_PINS = (
    "c,3,lens.layers.0.-1", "c,3,attention.heads.1.-1", "c,3,attention.heads.0.-1",
    "c,99999,lens.layers.0.-1", "r,0:2,1:4,lens.layers.0.-1", "r,2:0,1:4,lens.layers.0.-1",
    "w,0:1,3:4,attention.layers.0.-1", "w,1:2,3:4,attention.layers.0.2", "x,1", "c,-1,lens",
    "r,0:99,0:1,lens.layers.0.-1", "c,1,lens.layers.0.-1.entropy.residual.x",
)  # fmt: skip
_PARTS = (
    "section-figure", "section-map", "section-text", "section-sources", "section-nothing", "#",
    "findings", "title-figure", "__proto__", "%zz", "top", "", "?view=lens", "text", "view", "/x",
)  # fmt: skip


def address(number: int, own: str) -> str:
    """Return address `number` of a page whose own state has the address `own`."""
    chance = random.Random(number)
    kind = chance.randrange(14)
    if kind == 0:
        return chance.choice(_PARTS)
    fields = [part.split("=", 1) for part in own.split("&")]
    if kind < 3:  # the page's own state, with one field or none changed
        for _ in range(chance.randrange(2)):
            chance.choice(fields)[1] = chance.choice(chance.choice((_WORDS, _NUMBERS)))
    elif kind < 7:  # what a reader may have chosen
        own_values = dict(fields) | {
            name: chance.choice(_CHOSEN[name]) for name in chance.sample(list(_CHOSEN), 5)
        }
        fields = [[name, value] for name, value in own_values.items() if chance.random() < 0.8]
        return "&".join("=".join(field) for field in fields) or own
    elif kind < 10:
        chance.shuffle(fields)
        fields = fields[: chance.randrange(1, len(fields))]
        for field in fields:
            if chance.random() < 0.3:
                field[1] = chance.choice(chance.choice((_WORDS, _NUMBERS, _ODD)))
    else:
        names = (*NAMES, *_REGION, "pin", "find", *chance.sample(_ODD, 2), "layers", "norm")
        fields = [
            [chance.choice(names), chance.choice(chance.choice((_WORDS, _NUMBERS, _ODD)))]
            for _ in range(chance.randrange(1, 9))
        ]
    if chance.random() < 0.25:
        fields.append(["pin", ";".join(chance.choices(_PINS, k=chance.randrange(1, 12)))])
    if chance.random() < 0.15:
        fields.append(
            ["find", quote(chance.choice((*_WORDS, "capital", "e" * 99, "e" * 300, *_ODD)))]
        )
    if chance.random() < 0.1:
        fields.append(list(chance.choice(fields)))
        if chance.random() < 0.5:
            fields[-1][1] = chance.choice(_WORDS)
    text = "&".join("=".join(field) for field in fields)
    if chance.random() < 0.03:
        text = text[: chance.randrange(len(text) + 1)]
    return text + "&find=" + "x" * 5000 if chance.random() < 0.01 else text


def is_shown(wanted: str, shown: str, parts: set[str]) -> bool:
    """Return whether the state of the address `shown` is what the address `wanted` asks for.

    `parts` are the ids of the page, which an address may name instead of a state.
    """
    if "=" not in wanted:
        return wanted in parts or wanted == ""
    if len(wanted) > 4000:
        return False
    wanted = parse_qsl(
        wanted.removeprefix("?"), keep_blank_values=True, encoding="utf-8", errors="replace"
    )
    own: dict[str, str] = dict(parse_qsl(shown, keep_blank_values=True))
    first: dict[str, str] = {}
    for name, value in wanted:
        if first.setdefault(name, value) != value:
            return False
    return all(_is_equal(name, value, own) for name, value in first.items())


def _is_equal(name: str, value: str, own: dict[str, str]) -> bool:
    if name == "find":
        return own.get("find", "") == value
    if name == "pin":
        pins = [text for text in value.split(";") if text]
        return [text for text in own.get("pin", "").split(";") if text] == pins
    if name not in own:
        return False
    if name in (*NAMES, *_REGION) and own[name].lstrip("-").isdecimal():
        is_number = value.lstrip("-").isdecimal() and value.isascii() and value.count("-") <= 1
        return is_number and int(value) == int(own[name])
    return own[name] == value

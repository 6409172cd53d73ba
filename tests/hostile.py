"""Strings that could break a page: markup, addresses, templates, unusual characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, cycle, islice, product
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.text import text_array
from attentropy.report.text import for_terminal
from traces import synthetic

# Markup that reaches a page unescaped sets this name when it runs, or makes a network request.
PROOF = "window.pwned=1"

_ELEMENTS = (
    "script", "img", "svg", "iframe", "object", "embed", "body", "style", "link", "meta", "base",
    "math", "video", "audio", "details", "form", "input", "textarea", "template", "noscript",
)  # fmt: skip
_EVENTS = ("onerror", "onload", "onmouseover", "onfocus", "ontoggle", "onclick")
_BEFORE = ("", "'", '"', "'>", '">', "-->", "]]>", "</title>", "</style>", "</script>", "`", "\\")
_ADDRESSES = (
    "javascript:", "data:text/html,", "vbscript:", "//example.invalid/", "http://example.invalid/",
    "https://example.invalid/x.js?", "file:///etc/passwd#", "blob:",
    "jAvAsCrIpT\n:", "\x01javascript:",
)  # fmt: skip
_TEMPLATES = (
    "{{7*7}}", "{% raw %}", "{% include '/etc/passwd' %}", "${7*7}", "#{7*7}", "<%= 7*7 %>",
    "{{constructor.constructor('x')()}}", "{#comment#}", "{{ self.__init__.__globals__ }}",
    "%s%n%x",
    "$(id)", "`id`", "{0}", "%7B%7B", "&lt;b&gt;", "&#60;script&#62;", "\\u003cscript\\u003e",
    "datum.x", "event.view.eval('1')", "__proto__", "constructor", "toString",
)  # fmt: skip
_ODD = (
    *(chr(code) for code in range(32)), "\x7f", *(chr(code) for code in range(0x80, 0xA0, 4)),
    "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b",
    "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069", "\ufeff", "\ufffd",
    "\ufffe", "\uffff", "\U0010ffff", "\ue000", "\u0300" * 300, "a\u0301",
    "\U0001f468\u200d\U0001f469",
    "مرحبا", "שלום", "日本語", "ﷺ", "𒐫", "​", "", " ", "\u00a0", "\u3000", "\t", "\r\n",
    "\u202eabc\u202c", "\u2067abc", "A" * 5000, "🏳️‍🌈", "e" * 200 + "\u0301" * 200,
)  # fmt: skip
_NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999", "-0", "null", "undefined", "true", "[]", "{}")
_SQL = ("'; DROP TABLE tokens;--", "=1+1", "@SUM(1)", "+cmd|' /C calc'!A0", "-2+3")
# Not valid text: single halves of a surrogate pair, which a prompt in JSON may contain.
SURROGATES = ("\ud83d", "\udc00", "a\ud800b", "\udfff\ud800")
# Names of files; one has a byte that is not valid UTF-8.
HOSTILE_NAMES = (
    f"</title><script>{PROOF}</script>\u202e\udcff.zarr",
    f'\x1b[31m"><img src=x onerror={PROOF}>.zarr',
)
# A string that is too long for any page.
ENDLESS = "M" * 1_000_000


def corpus(count: int = 500) -> list[str]:
    """Return `count` hostile strings of every kind, the same strings in each call."""
    everywhere = list(product(_BEFORE, _ELEMENTS, _EVENTS))
    markup = (
        f"{before}<{element} {event}={PROOF} src=x href={address}>"
        for (before, element, event), address in zip(
            everywhere[::3], cycle(_ADDRESSES), strict=False
        )
    )
    scripts = (f"{before}<script>{PROOF}</script>" for before in _BEFORE)
    nested = (
        "<scr<script>ipt>",
        f"<svg><script>{PROOF}</script>",
        "<!--<script>",
        "<![CDATA[",
        "<!",
    )
    plain = [
        *_ODD, *scripts, *nested, *_TEMPLATES, *_NUMBERS, *_SQL,
        *(address + PROOF for address in _ADDRESSES),
    ]  # fmt: skip
    return [*plain, *islice(markup, count - len(plain))]


STRINGS = [*corpus(), *SURROGATES, ENDLESS]


def hostile_trace(strings: Sequence[str] = STRINGS, **options: Any) -> Trace:
    """Return a trace with every string as a token.

    Some strings are also words of the vocabulary and values of attributes. `options` are
    those of `synthetic`.
    """
    tokens = list(text_array(strings))
    arguments = {"layers": 2, "heads": 2, "window": False, "words": tokens[::64]} | options
    roles = ["content"] * (len(tokens) - 1) + ["template"]
    trace = synthetic(tokens, roles, generated=tokens[60:64], **arguments)
    texts = iter(STRINGS[::7])
    attrs = trace.dataset.attrs
    for part in ("model", "tokenizer", "versions", "options"):
        numbers = {name: value for name, value in attrs[part].items() if type(value) is int}
        attrs[part] = {name: next(texts) for name in attrs[part]} | numbers | {next(texts): 1}
    attrs |= {
        "model": attrs["model"] | {"name": "".join(STRINGS[60:90]) + "\u202e\x1b[31m"},
        "notes": [next(texts), *SURROGATES, ENDLESS], "implementation": next(texts),
        "answer": "\u202e" + SURROGATES[0] + next(texts) + "\x1b]0;x\x07",
        "partial": {"tokens": 9, "done": 3, "chunks": 2, "reason": "\x1b[2J</script>\u202e"},
    }  # fmt: skip
    note = np.array(
        [for_terminal(ENDLESS[:900]) + "</script>", "\x1b\u202e<b>"], np.dtypes.StringDType()
    )
    trace.dataset["attention_note"] = ("layer", note[np.arange(arguments["layers"]) % 2])
    trace.dataset["lens_entropy"].values[0, :, 3:6] = [np.nan, np.inf, -np.inf]
    trace.dataset["lens_top_logprobs"].values[0, :, 7] = np.nan
    trace.dataset["lens_kl"].values[0, :, 8] = np.inf
    trace.dataset["entropy"].values[:, :, 4] = np.inf
    return Trace(trace.dataset)


def hostile_pair() -> tuple[Trace, Trace]:
    """Return two traces to compare, A and B, with every string as a token and in the attributes.

    Each string is a token of both traces, followed by one token that only A has and one that only
    B has. Each string is also the name and the value of an attribute of the prompt.
    """
    traces = []
    for side in (0, 1):
        trace = hostile_trace(
            list(chain.from_iterable((text, text) for text in STRINGS)), seed=side
        )
        at = np.arange(len(STRINGS), dtype=np.int32)
        ids = np.stack([at, at + (side + 1) * at.size], 1).ravel()
        dataset = trace.dataset.assign_coords(token_ids=("position", ids))
        named = dict(zip(STRINGS, STRINGS[side:] + STRINGS[:side], strict=True))
        own = {"tokenizer": {"sha256": "0" * 64}, "prompt": named}
        traces.append(Trace(dataset.assign_attrs(dataset.attrs | own)))
    return traces[0], traces[1]

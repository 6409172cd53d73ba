"""The page's program: the bundled Vega and the page's own script, in one function, deflated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from attentropy.report.pack.encode import deflate
from attentropy.report.page.bundle import bundle
from attentropy.report.page.document import template_text, without_comments
from attentropy.report.page.modules import join, load

# The module that starts the page; it needs, directly or not, all others.
ENTRY = "shell/start.js"
# What the bundle leaves on the global object.
BUNDLE_NAMES = ("vegaEmbed", "vega", "vegaLite")


@dataclass(frozen=True)
class Program:
    """The program: `text` is what runs, `packed` the same deflated and in base64."""

    text: str
    packed: str


@lru_cache(maxsize=1)
def program() -> Program:
    """Return the program, which leaves no name on the global object.

    Its own names are those of a function, and it deletes the bundle's. The element that runs it has
    a promise, `started`, which fails where the figure could not be drawn.
    """
    deletions = "".join(f"delete window.{name};" for name in BUNDLE_NAMES)
    own = without_comments(join(load(ENTRY, script)))
    # Modules are strict; joined, they are one function that is.
    text = (
        f"document.currentScript.started=(async(run)=>{{(()=>{{{bundle()}\n}})();"
        f"const embed=window.vegaEmbed;{deletions}await run(embed);}})"
        f'((vegaEmbed)=>{{"use strict";\n{own}\nreturn startPage(vegaEmbed);}});'
    )
    if "\r" in text:
        raise RuntimeError("a carriage return would change in the page and with it the hash")
    return Program(text, deflate(text.encode()))


def script(name: str) -> str:
    """Return the text of one module of the page's own script."""
    return template_text(f"script/{name}")

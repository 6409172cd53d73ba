"""The page's program: the bundled Vega and the page's own script, in one function, deflated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from attentropy.report.pack.encode import deflated
from attentropy.report.page.document import source

# One idea a file, in the order in which they build on each other.
_PARTS = (
    "data/values", "data/colours", "data/planes", "data/state", "data/statistics", "figure/cells",
    "figure/pictures", "figure/figure", "figure/tooltip", "figure/compare", "figure/moving",
    "figure/pins", "figure/search", "shell/keys", "shell/help", "below/window", "below/map",
    "below/spread", "below/roster", "below/live_tables", "below/tables", "shell/address",
    "shell/sections", "shell/start",
)  # fmt: skip


@dataclass(frozen=True)
class Program:
    """`text` is what runs, `packed` the same deflated and in base64."""

    text: str
    packed: str


@lru_cache(maxsize=1)
def program() -> Program:
    """The program, which leaks no name: the bundle's own are taken off the global object."""
    import vl_convert

    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    taken = "".join(f"delete window.{name};" for name in ("vegaEmbed", "vega", "vegaLite"))
    own = "\n".join(source(f"script/{name}.js") for name in _PARTS)
    text = (
        f"((run)=>{{(()=>{{{bundle}\n}})();const embed=window.vegaEmbed;{taken}run(embed);}})"
        f"((vegaEmbed)=>{{{own}}});"
    )
    if "\r" in text:
        raise RuntimeError("a carriage return would change in the page and with it the hash")
    return Program(text, deflated(text.encode()))

"""What every page of the project shares: its environment, its policy, its still pictures."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from attentropy.report import palette
from attentropy.report.raster import data_uri


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Templates that escape, that fail at an unknown name, and whose JSON holds no NaN."""
    made = Environment(
        loader=PackageLoader("attentropy", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "sort_keys": True,
        "separators": (",", ":"),
    }
    return made


def source(name: str) -> str:
    """A file of the templates, as it is."""
    loader = environment().loader
    assert loader is not None
    return loader.get_source(environment(), name)[0]


def policy(style: str, *scripts_allowed: str) -> str:
    """A content security policy that allows this style, these scripts and pictures in the page."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts_allowed)
    scripts = f"script-src {hashes}; " if hashes else ""
    return (
        f"default-src 'none'; {scripts}style-src 'sha256-{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def still(chart: dict[str, Any]) -> tuple[str, int]:
    """A picture for readers without scripts and before they run, and its width in CSS pixels."""
    import vl_convert

    image = vl_convert.vegalite_to_svg(chart)
    # The library counts its clips over all pictures of a process: count from here instead.
    order: dict[str, str] = {}
    image = re.sub(r"\bclip\d+\b", lambda m: order.setdefault(m[0], f"clip{len(order)}"), image)
    # Every text says its font, and all say the same.
    fonts = re.findall(r' font-family="[^"]*"', image)
    if len(set(fonts)) == 1:
        image = image.replace(fonts[0], "").replace("<svg ", f"<svg{fonts[0]} ", 1)
    width = re.search(r'\bwidth="([\d.]+)"', image)
    return data_uri(image.encode(), "image/svg+xml"), round(float(width[1])) if width else 0


def in_the_dark(chart: dict[str, Any]) -> dict[str, Any]:
    """The same chart in the colours of a dark page."""
    dark = palette.DARK
    params = [
        {**param, "value": dark[param["name"]]} if param["name"] in dark else param
        for param in chart["params"]
    ]
    return {**chart, "params": params}

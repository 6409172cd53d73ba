"""The environment, the policy and the still pictures that all pages of the project share."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from attentropy.report import palette, vega
from attentropy.report.content.directions import direction, direction_groups, runs
from attentropy.report.images import data_uri
from attentropy.report.units import glue

# The files of the style, in the order in which the page has them.
_STYLES = (
    "base", "header", "layout", "text", "sources", "figure", "grid", "details", "explore",
    "findings", "profile", "terms", "compare", "narrow", "contrast", "print",
)  # fmt: skip


@lru_cache(maxsize=1)
def templates() -> Environment:
    """Return templates that escape, fail at an unknown name, and write no NaN in JSON."""
    templates = Environment(
        loader=PackageLoader("attentropy", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    templates.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "sort_keys": True,
        "separators": (",", ":"),
    }
    templates.filters |= {"glued": glue, "direction": direction, "runs": runs}
    templates.filters["direction_groups"] = direction_groups
    return templates


def template_text(name: str) -> str:
    """Return the text of a file of the templates, unchanged."""
    loader = templates().loader
    assert loader is not None
    return loader.get_source(templates(), name)[0]


def without_comments(script: str) -> str:
    """Return the text of a script without the lines that are a comment."""
    return _COMMENT_LINE.sub("", script)


_COMMENT_LINE = re.compile(r"^ *//[^\n]*\n", re.MULTILINE)
_STYLE_COMMENT = re.compile(r"/\*.*?\*/\n?", re.DOTALL)


def style_text() -> str:
    """Return the style of all pages."""
    return "".join(template_text(f"style/{name}.css") for name in _STYLES)


def opening_script() -> str:
    """Return the script that runs before the page's content, with the style of the live page."""
    style = _STYLE_COMMENT.sub("", template_text("style/live.css"))
    script = without_comments(template_text("script/shell/opening.js"))
    return script.replace("LIVE_STYLE", json.dumps(style))


def security_policy(style: str, *scripts_allowed: str) -> str:
    """Return a content security policy that allows this style, these scripts, and pictures."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts_allowed)
    scripts = f"script-src {hashes}; " if hashes else ""
    return (
        f"default-src 'none'; {scripts}style-src 'sha256-{_digest(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    """Return the SHA-256 of a text as a policy writes it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@dataclass(frozen=True)
class Still:
    """A picture's addresses for a light and a dark page, and its size in CSS pixels."""

    light: str
    dark: str
    width: int
    height: int


def draw_still(chart: dict[str, Any]) -> Still:
    """Draw the picture for readers without scripts and before the scripts run."""
    image = draw_svg(chart)
    width, height = (re.search(rf'\b{side}="([\d.]+)"', image) for side in ("width", "height"))
    light, dark = (data_uri(svg.encode(), "image/svg+xml") for svg in (image, _darkened(image)))
    pixels = (round(float(match[1])) if match else 0 for match in (width, height))
    return Still(light, dark, *pixels)


def draw_svg(chart: dict[str, Any]) -> str:
    """Draw the chart as a compact SVG, with the same bytes each time."""
    image = vega.to_svg(chart)
    # The library numbers clips over all pictures of a process: number those of this picture.
    order: dict[str, str] = {}
    image = re.sub(
        r"\b(clip|gradient_)\d+\b",
        lambda m: order.setdefault(m[0], f"{m[1]}{len(order)}"),
        image,
    )
    # Every text repeats the same font: state it once.
    fonts = re.findall(r' font-family="[^"]*"', image)
    if len(set(fonts)) == 1:
        image = image.replace(fonts[0], "").replace("<svg ", f"<svg{fonts[0]} ", 1)
    # A hundredth of a pixel is enough; the text between the tags is the trace's.
    return re.sub(r"<(?!image)[^<>]+>", lambda tag: _compact(tag[0]), image)


_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")
# What says nothing within a picture: what is usual, Vega's own names, shapes without a form.
_IDLE = re.compile(
    r' (?:aria-hidden="true"|pointer-events="none"|opacity="1"|class="(?:mark|background|'
    r'foreground)[^"]*")'
)
_FORMLESS = re.compile(r'<path(?: d=""| d="M0,0h0v0h0Z"| display="none")*/>')


def _compact(tag: str) -> str:
    """Return a tag of a picture in fewer bytes; nothing for a shape that draws nothing."""
    return _FORMLESS.sub("", _IDLE.sub("", _LONG_NUMBER.sub(_rounded, tag)))


def _rounded(number: re.Match[str]) -> str:
    """Return a number with at most two decimals."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _darkened(image: str) -> str:
    """Return the same picture in the colours of a dark page.

    These are the colour of the background, which is named first and which lines have for a seam,
    and those of everything around the values.
    """
    light, dark = palette.LIGHT, palette.DARK
    image = image.replace(f'fill="{light["paper"]}"', f'fill="{dark["paper"]}"', 1)
    image = re.sub(rf'(<line [^>]*stroke="){light["paper"]}"', rf'\g<1>{dark["paper"]}"', image)
    dark_of = {light[name]: dark[name] for name in light if name != "paper"}
    return re.sub(
        r'\b(fill|stroke)="(#[0-9a-f]{6})"',
        lambda m: f'{m[1]}="{dark_of.get(m[2], m[2])}"',
        image,
    )

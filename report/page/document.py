"""What every page of the project shares: its environment, its policy, its still pictures."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from attentropy.report import palette
from attentropy.report.images import data_uri


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


@dataclass(frozen=True)
class Still:
    """Addresses of a picture for a light and for a dark page, and its size in CSS pixels."""

    light: str
    dark: str
    width: int
    height: int


def stills(chart: dict[str, Any]) -> Still:
    """The picture for readers without scripts and before they run."""
    image = picture(chart)
    width, height = (re.search(rf'\b{side}="([\d.]+)"', image) for side in ("width", "height"))
    light, dark = (data_uri(svg.encode(), "image/svg+xml") for svg in (image, _in_the_dark(image)))
    pixels = (round(float(found[1])) if found else 0 for found in (width, height))
    return Still(light, dark, *pixels)


def picture(chart: dict[str, Any]) -> str:
    """The chart as SVG, the same bytes each time, and fewer of them."""
    import vl_convert

    image = vl_convert.vegalite_to_svg(chart)
    # The library counts its clips over all pictures of a process: count from here instead.
    order: dict[str, str] = {}
    image = re.sub(
        r"\b(clip|gradient_)\d+\b",
        lambda m: order.setdefault(m[0], f"{m[1]}{len(order)}"),
        image,
    )
    # Every text says its font, and all say the same.
    fonts = re.findall(r' font-family="[^"]*"', image)
    if len(set(fonts)) == 1:
        image = image.replace(fonts[0], "").replace("<svg ", f"<svg{fonts[0]} ", 1)
    # A hundredth of a pixel is enough; what stands between the tags is the trace's.
    return re.sub(r"<(?!image)[^<>]+>", lambda tag: _LONG_NUMBER.sub(_rounded, tag[0]), image)


_LONG_NUMBER = re.compile(r"\d+\.\d{3,}")


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _in_the_dark(image: str) -> str:
    """The same picture in the colours of a dark page: those of its ground (the first one named) and
    of what is drawn around the values."""
    light, dark = palette.LIGHT, palette.DARK
    image = image.replace(f'fill="{light["paper"]}"', f'fill="{dark["paper"]}"', 1)
    known = {light[name]: dark[name] for name in light if name != "paper"}
    return re.sub(
        r'\b(fill|stroke)="(#[0-9a-f]{6})"',
        lambda m: f'{m[1]}="{known.get(m[2], m[2])}"',
        image,
    )

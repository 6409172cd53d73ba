"""The exported figure is compared with the page's figure, pixel by pixel."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

import attentropy
from attentropy.report.export import entropy_figure, image_files
from attentropy.report.export.choices import check_choices
from attentropy.report.export.export import _draw
from attentropy.report.figures.sizes import wide
from traces import sited, synthetic

pytestmark = pytest.mark.browser

_LAYOUT = 928  # width in pixels of the page's layout
_CANVAS = """() => {
  const canvas = document.querySelector('#canvas canvas');
  return [canvas.toDataURL(), Number(canvas.dataset.left), Number(canvas.dataset.top)];
}"""


def _pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def _exported(trace, figure, choices):
    """Return the exported figure's pixels, in the page's layout and size, and its origin x, y."""
    choice = check_choices(trace, figure, "light", choices)
    picture = _draw(entropy_figure.plan(trace, choice, _LAYOUT), choice, _LAYOUT)
    across = image_files.pixels(picture)[0]
    image = attentropy.export(
        trace, figure, "png", width=across / 96 * 25.4, font_size=11 * 72 / 96, dpi=96, **choices
    )
    origin = re.search(r"translate\(([\d.]+),([\d.]+)\)", picture)
    return _pixels(image.data), [float(n) for n in origin.groups()]


_CHOICES = {"stat": "lens_rank", "site": "mlp", "palette": "cividis"}


@pytest.mark.parametrize(
    ("figure", "choices"),
    [
        pytest.param("lens", {}, marks=pytest.mark.slow),
        ("attention", {}),
        ("lens", _CHOICES),
        pytest.param("attention", {"stat": "distance"}, marks=pytest.mark.slow),
    ],
)
def test_the_exported_figure_is_the_pages(open_page, monkeypatch, figure, choices):
    trace = sited() if choices else synthetic()
    # On paper inset, gap and legend have other widths: here they have those of the page.
    positions = trace.dataset.sizes["position"]
    monkeypatch.setattr(entropy_figure, "fit_to_width", lambda rows, _: wide(rows, positions))
    parameters = "".join(f"&{name}={value}" for name, value in choices.items())
    row = "&row=0" if figure == "attention" else ""  # whose weights the export's inset has
    opened = open_page(trace, fragment=f"#view={figure}{parameters}{row}")
    coded, left, top = opened.page.evaluate(_CANVAS)
    page = _pixels(base64.b64decode(coded.partition(",")[2]))
    ours, origin = _exported(trace, figure, choices)
    # Both from the corner on that both have.
    corner = [round(own - other) for own, other in zip((left, top), origin, strict=True)]
    (x, y), (from_x, from_y) = ([max(0, sign * at) for at in corner] for sign in (1, -1))
    page, ours = page[y:, x:], ours[from_y:, from_x:]
    height, width = (min(sides) for sides in zip(page.shape[:2], ours.shape[:2], strict=True))
    assert width > 900  # of the figure's 928
    assert height > 300
    off = np.abs(page[:height, :width] - ours[:height, :width]).max(-1)
    # Two programs draw the same letters half a pixel apart: only letters and the edges of lines
    # may differ. A section moved by one position is off in more than a quarter of the pixels.
    print(f"{figure} {choices}: mean {off.mean():.2f} of 255, over 40: {(off > 40).mean():.2%}")
    assert off.mean() < 5
    assert (off > 40).mean() < 0.04
    assert not opened.errors

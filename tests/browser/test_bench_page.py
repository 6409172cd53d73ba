"""The benchmark's page in a real browser has no script and a picture per width and theme."""

import re

import pytest

from bench_pages import save_bench_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return save_bench_page(tmp_path_factory.mktemp("bench"), "<b>flash</b>")


@pytest.mark.slow
def test_it_fits_every_width_and_theme_without_a_complaint(chromium, file):
    pictures, complaints = set(), []
    context = chromium.new_context()
    context.set_offline(True)
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    for width in (420, 1440):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            page.goto(file.as_uri())
            page.click("summary")
            assert page.evaluate("document.documentElement.scrollWidth") == width
            image = page.evaluate(
                "(() => { const i = document.querySelector('img');"
                " return [i.currentSrc, i.naturalWidth, i.getBoundingClientRect().width] })()"
            )
            pictures.add(image[0])
            assert image[1] > 300
            assert image[2] <= width
            assert page.inner_text("tbody tr:nth-child(2) th") == "<b>flash</b>"
    context.close()
    assert len(pictures) == 4
    assert complaints == []
    assert not re.search(r"<script", file.read_text("utf-8"))

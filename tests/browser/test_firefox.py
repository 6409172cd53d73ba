"""Firefox shows the page in every way that Chromium does: figure, or a sentence instead."""

import os
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from attentropy.report.compare.difference import compare
from attentropy.report.findings.compared import observe
from embedded import FILLED, FRAMES, POLICIES, REFUSED, STILL, UNSTYLED, serving
from traces import profiled, synthetic

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTH, HEIGHT = 1440, 900
COLOURS = 40  # that a drawn figure has at least
ORDER = (*FRAMES, *POLICIES, *FILLED)
# The ways whose document the host may look into; of the others the picture alone is judged.
CLOSED = {"sandboxed", "sandboxed, no scripts", "jenkins", "data"}


@pytest.fixture(scope="module")
def firefox():
    """Return the command that starts Firefox; without one, skip the test or fail in CI."""
    executable = os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Firefox: its tests did not run")
        pytest.skip("no Firefox here: install firefox-esr, or name it in FIREFOX")
    return executable


@pytest.fixture(scope="module")
def files(written):
    of = compare(synthetic(seed=1), synthetic(seed=2))
    return {
        "trace": written(synthetic()),
        "comparison": written(of, observe(of)),
        "profile": written(profiled()),
    }


def _screenshot(firefox, folder, address, *options):
    """Return the pixels of a whole page in Firefox, and what it wrote on standard error."""
    profile, target = folder / "profile", folder / "page.png"
    profile.mkdir()
    command = [firefox, "--headless", "--no-remote", "--profile", str(profile)]
    command += ["--screenshot", str(target), f"--window-size={WIDTH}", *options, address]
    subprocess.run(command, timeout=400, check=True, capture_output=True)
    with Image.open(target) as image:
        return np.asarray(image.convert("RGB"))


def _colours(pixels):
    return len(np.unique(pixels.reshape(-1, 3), axis=0))


@pytest.mark.parametrize("kind", ["trace", "comparison", "profile"])
def test_every_way_shows_the_figure_or_says_why_not(firefox, files, tmp_path, kind):
    with serving() as server:
        server.text = files[kind].read_text("utf-8")
        pixels = _screenshot(firefox, tmp_path, f"{server.address}all")
        report = server.report
    assert set(report) == set(ORDER)
    assert len(pixels) >= len(ORDER) * HEIGHT
    for i, way in enumerate(ORDER):
        own, view = pixels[i * HEIGHT : (i + 1) * HEIGHT], report[way]
        assert (view is None) == (way in CLOSED), way
        if way not in REFUSED or (way not in STILL and kind != "profile"):
            assert _colours(own) > COLOURS, way
        if view is None:
            continue
        for picture in view["pictures"]:
            assert picture["still"] + picture["live"] == 1, (way, picture)
            if picture["isFirst"] and kind != "profile":
                assert picture["still"] == (way in STILL), way
        if way in STILL:
            assert (view["controls"], view["hints"]) == (0, []), way
            assert "Scripts do not run here" in view["notice"], way
        elif way not in REFUSED:
            assert (view["notice"], view["broken"]) == ("", 0), way
        elif kind == "profile":
            assert "forbids pictures" in view["notice"]
        assert view["width"] <= 0 or way in UNSTYLED


def test_a_file_is_shown_from_the_disk(firefox, files, tmp_path):
    """A folder's name may need escapes; the still picture or the live one has the colours."""
    folder = tmp_path / "a #1 % name"
    folder.mkdir()
    target = folder / "report.html"
    target.write_bytes(files["trace"].read_bytes())
    assert _colours(_screenshot(firefox, tmp_path, target.as_uri())[:HEIGHT]) > COLOURS

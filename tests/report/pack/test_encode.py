"""Tiles and packed values contain the values that went in."""

import base64
import io
import zlib

import numpy as np
import pytest
from PIL import Image

from attentropy.report import palette
from attentropy.report.images import data_uri, png
from attentropy.report.pack.encode import EXACT_VALUES, pack, pack_shares


def _unpack(packed):
    raw = zlib.decompress(base64.b64decode(packed["data"]))
    kind = {"float32": "<f4", "int32": "<i4", "uint16": "<u2"}[packed["type"]]
    if packed["type"] == "uint16":  # low bytes, then high ones
        raw = np.frombuffer(raw, np.uint8).reshape(2, -1).T.tobytes()
    values = np.frombuffer(raw, kind).reshape(packed["shape"])
    if packed["type"] != "uint16":
        return values
    return np.where(values == 65535, np.nan, packed["low"] + values * packed["step"])


@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_has_the_pixels_it_was_given(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 13, channels), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
    assert data_uri(png(pixels)).startswith("data:image/png;base64,")


def test_few_values_are_exact_and_many_are_within_the_error_that_is_said():
    random = np.random.default_rng(0)
    few = random.normal(size=(3, 5)).astype(np.float32)
    few[0, 0] = np.nan
    np.testing.assert_array_equal(_unpack(pack(few)), few)
    many = random.normal(size=EXACT_VALUES + 1)
    many[7] = np.nan
    packed = pack(many)
    assert np.isnan(_unpack(packed)[7])
    assert np.nanmax(np.abs(_unpack(packed) - many)) <= packed["error"] * 1.001
    ids = np.array([[-1, 2**30]])
    np.testing.assert_array_equal(_unpack(pack(ids)), ids)


def test_many_equal_or_missing_values_pack_too():
    for value in (1.5, np.nan):
        same = np.full(EXACT_VALUES + 1, value)
        np.testing.assert_allclose(_unpack(pack(same)), same)


def test_the_maps_ends_and_middle_are_their_anchors_and_missing_is_none_of_them():
    rgb = palette.colors(np.array([0.0, 2.0, 4.0, -1.0, 9.0, np.nan]), 0, 4)
    assert palette.hexes(rgb) == [
        "#2166ac", "#f7f7f7", "#b2182b", "#2166ac", "#b2182b", palette.MISSING,
    ]  # fmt: skip


def test_ink_is_readable_on_every_colour():
    for name in palette.MAPS:
        rgb = palette.colors(np.linspace(0, 1, 101), 0, 1, name)
        for color, ink in zip(rgb, palette.inks(rgb), strict=True):
            assert _contrast(color, ink) >= 4.5


def _contrast(color, ink):
    def luminance(c):
        c = np.asarray(c, float) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    one = luminance(color)
    other = luminance([int(ink[i : i + 2], 16) for i in (1, 3, 5)])
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize(("step", "digits"), [(0.001, 3), (0.01 / 5, 2), (0.01 / 3, 2), (0.01, 2)])
def test_shares_in_steps_are_right_to_the_digits_that_people_read(step, digits):
    shares = np.append(np.random.default_rng(0).random(5000), (0, 1))
    packed = pack_shares(shares, step)
    if packed["type"] == "uint8":
        raw = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
        got = raw * packed["step"]
    else:
        got = _unpack(packed)
    assert np.abs(got - shares).max() <= packed["error"] * (1 + 1e-9)
    assert [f"{p:.{digits}f}" for p in got] == [f"{p:.{digits}f}" for p in shares]

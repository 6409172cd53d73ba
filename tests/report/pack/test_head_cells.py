"""What a page holds of the heads' pictures and labels."""

import base64
import json
import re
import zlib

import numpy as np
import pytest

from attentropy.engine.run.extract import extract
from attentropy.report.findings.head_roles import KINDS, head_roles
from attentropy.report.findings.single import observe
from attentropy.report.pack.head_cells import pack_roles, pack_thumbnails
from attentropy.report.pack.notice import pictures_note
from attentropy.report.page.page import render
from long_traces import long
from pictured import random_masses, with_thumbnails, without_thumbnails


@pytest.fixture(scope="module")
def demo():
    return extract(device="cpu")


def _unpacked(packed, dtype=np.uint8):
    data = zlib.decompress(base64.b64decode(packed["data"]))
    return np.frombuffer(data, dtype).reshape(packed["shape"])


def test_pictures_are_the_traces_own_bytes(demo):
    packed = pack_thumbnails(demo, 1)["thumbnails"]
    assert packed["type"] == "uint8"
    np.testing.assert_array_equal(_unpacked(packed), demo["thumbnail"])


def test_pooled_pictures_have_the_largest_of_their_tiles(demo):
    pooled = _unpacked(pack_thumbnails(demo, 4)["thumbnails"])
    assert pooled.shape == (8, 4, 5, 5)
    own = demo["thumbnail"]
    for r, c in np.ndindex(5, 5):
        block = own[..., 4 * r : 4 * r + 4, 4 * c : 4 * c + 4]
        np.testing.assert_array_equal(pooled[..., r, c], block.max((-1, -2)))


def test_labels_are_packed_with_each_word_once(demo):
    packed, roles = pack_roles(demo)["roles"], head_roles(demo)
    np.testing.assert_array_equal(_unpacked(packed["kinds"], np.int8), roles.kinds)
    index = _unpacked(packed["word"], np.int8)
    assert len(set(packed["words"])) == len(packed["words"])
    for layer, head in np.ndindex(index.shape):
        word = packed["words"][index[layer, head]] if index[layer, head] >= 0 else ""
        assert word == roles.words[layer][head]
    assert KINDS[0] == ""


def test_1024_heads_take_less_than_a_megabyte_of_the_page():
    trace = long(2000, layers=32, heads=32, read=100)
    pictured = with_thumbnails(trace, random_masses(32, 32, 32))
    pages = [render(one, observe(one), max_bytes=40_000_000) for one in (trace, pictured)]
    assert len(pages[1]) - len(pages[0]) < 1_000_000


def test_a_reduced_page_keeps_its_limit_and_its_pictures_come_later():
    trace = with_thumbnails(long(8000, layers=8, heads=4, read=100))
    page = render(trace, observe(trace), max_bytes=1_400_000)
    assert len(page.encode()) <= 1_400_000
    later = re.search(r'<script type="application/json" id="later">(.*?)</script>', page, re.S)
    assert "thumbnails" in json.loads(later[1])
    assert '"thumbnails"' not in page[: later.start()]


def test_a_page_says_which_pictures_it_does_not_hold():
    trace = with_thumbnails(long(3000, layers=3, heads=2, read=50))
    assert list(pictures_note(trace, pack_thumbnails(trace, 1))) == []
    assert list(pictures_note(trace, pack_thumbnails(trace, 4))) == [
        "The pictures of the heads have 8 × 8 of 32 × 32 tiles."
    ]
    assert list(pictures_note(trace, {})) == ["The pictures of the heads are left out."]
    assert list(pictures_note(without_thumbnails(trace), {})) == []


def test_a_page_of_a_trace_without_pictures_says_so(demo):
    bare = without_thumbnails(demo)
    page = render(bare, observe(bare))
    assert "The trace has no pictures of the heads" in page
    assert '"thumbnails"' not in page
    whole = render(demo, observe(demo))
    assert "The trace has no pictures of the heads" not in whole
    assert "All 32 heads" in whole

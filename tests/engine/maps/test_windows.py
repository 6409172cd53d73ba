"""Windows and map tiles are chosen, or refused, before a run starts."""

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.maps.windows import (
    MAP_BYTES,
    WINDOW_BYTES,
    check_windows,
    default_window,
    map_bytes,
    map_tile,
    rectangles,
)


@pytest.mark.parametrize(
    ("text", "rows", "keys"),
    [
        ("0:10,0:20", (0, 10), (0, 20)),
        ("-64:,:", (936, 1000), (0, 1000)),
        (":5,-7:-2", (0, 5), (993, 998)),
        ("990:2000,3:4", (990, 1000), (3, 4)),
    ],
)
def test_a_window_is_read_as_python_slices(text, rows, keys):
    rectangle = rectangles(["1:2,1:2", text], 1000, 4, 2)[1]
    assert (rectangle.name, rectangle.rows, rectangle.keys) == ("window2", rows, keys)


@pytest.mark.parametrize(
    "text", ["", "5", "1:2", "1:2,3", "1:2,3:4,5:6", "a:b,c:d", "-:,:", "1::2,:"]
)
def test_a_window_of_another_form_is_refused_whatever_the_prompt(text):
    with pytest.raises(UsageError, match="ranges of queries and keys") as caught:
        check_windows(["0:1,0:1", text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"), [("5:5,:", "query"), (":,20:9", "key"), ("40:,:", "query")]
)
def test_a_window_that_holds_nothing_is_refused(text, what):
    with pytest.raises(UsageError, match=f"selects no {what} in a prompt of 30 tokens"):
        rectangles([text], 30, 4, 2)


def test_more_windows_than_a_trace_names_are_refused():
    with pytest.raises(UsageError, match="at most 8 windows, not 9"):
        check_windows(["0:1,0:1"] * 9)


def test_a_number_without_end_is_refused():
    with pytest.raises(UsageError, match="are too large"):
        check_windows([f"0:{'9' * 5000},:"])


def test_a_window_is_kept_per_head_while_it_fits_and_as_the_mean_else():
    side = 512  # 4 bytes · 512² · 8 layers · 8 heads = 64 MiB
    assert rectangles([f"0:{side},0:{side}"], 9999, 8, 8)[0].per_head
    assert not rectangles([f"0:{side + 1},0:{side}"], 9999, 8, 8)[0].per_head


def test_a_window_larger_than_the_budget_says_what_fits():
    with pytest.raises(UsageError) as caught:
        rectangles(["0:20000,0:20000"], 32000, 32, 8)
    text = str(caught.value)
    assert "\n" not in text
    assert "48828 MiB" in text
    assert "724 queries × 724 keys" in text
    assert "26 queries × " in text
    for fits in ("0:724,0:724", "0:26,0:20000"):
        rectangles([fits], 32000, 32, 8)
    for larger in ("0:725,0:725", "0:27,0:20000"):
        with pytest.raises(UsageError):
            rectangles([larger], 32000, 32, 8)


@pytest.mark.parametrize(
    ("tokens", "span"), [(1, (0, 1)), (512, (0, 512)), (513, (449, 513)), (9000, (8936, 9000))]
)
def test_unasked_the_whole_of_a_short_prompt_or_the_tails_square_is_kept(tokens, span):
    rectangle = default_window(tokens, 8, 4)
    assert (rectangle.name, rectangle.rows, rectangle.keys) == ("window", span, span)
    assert rectangle.per_head == (4 * 8 * 4 * (span[1] - span[0]) ** 2 <= WINDOW_BYTES)


@pytest.mark.parametrize("tokens", [513, 1000, 4097, 32768, 131072, 262144])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (8, 1), (32, 1), (32, 32)])
def test_the_tile_chosen_is_the_smallest_power_of_two_within_the_budget(tokens, layers, heads):
    tile = map_tile("auto", tokens, layers, heads)
    side = tile[0]
    assert tile == (side, side)
    assert side & (side - 1) == 0
    assert map_bytes(tile, tokens, layers, heads) <= MAP_BYTES
    assert -(-tokens // side) <= 512
    half = (side // 2, side // 2)
    assert map_bytes(half, tokens, layers, heads) > MAP_BYTES or -(-tokens // half[0]) > 512


def test_a_short_prompt_has_its_exact_window_for_a_map_unless_one_is_asked_for():
    assert map_tile("auto", 512, 8) is None
    assert map_tile("none", 9000, 8) is None
    assert map_tile("16", 512, 8) == (16, 16)
    assert map_tile("64x32", 9000, 8) == (64, 32)


@pytest.mark.parametrize("text", ["", "0", "-4", "64x", "64x0", "1.5", "automatic", "8x8x8"])
def test_a_tile_of_another_form_is_refused_whatever_the_prompt(text):
    with pytest.raises(UsageError, match=r"auto.*none") as caught:
        map_tile(text, 9000, 8)
    assert "\n" not in str(caught.value)


def test_a_map_larger_than_the_limit_says_what_fits():
    with pytest.raises(UsageError, match="a tile size of 64 fits") as caught:
        map_tile("1", 131072, 32)
    assert "\n" not in str(caught.value)
    assert map_tile("64", 131072, 32) == (64, 64)
    with pytest.raises(UsageError):
        map_tile("32", 131072, 32)

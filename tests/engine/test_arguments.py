"""Python's values and the command line's texts become the same canonical values."""

import numpy as np
import pytest
import torch

from attentropy.engine.arguments import (
    read_bytes,
    read_count,
    read_names,
    read_selection,
    read_span,
    read_spans,
    read_tile,
    read_torch_name,
    read_windows,
)
from attentropy.engine.errors import UsageError
from attentropy.engine.run.options import Options
from attentropy.engine.selection import select

KNOWN = ("entropy", "max_prob", "lse")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None), (3, "3"), (-1, "-1"), ([0, 1], "0,1"), ((0, 3), "0,3"), ({2}, "2"),
        (range(4), "0:4"), (range(2, 9, 3), "2:9:3"), (range(-2, 0), "-2,-1"),
        (slice(None), ":"), (slice(-4, None), "-4:"), (slice(0, 9, 2), "0:9:2"),
        (np.array([0, 5]), "0,5"), (np.int64(7), "7"), (torch.tensor([1, 2]), "1,2"),
        ([0, slice(4, 6), 9], "0,4:6,9"), ("0, 5,10:", "0,5,10:"), ("all", "all"),
        ([np.int32(3), torch.tensor(4)], "3,4"), ("::2", "::2"),
    ],
)  # fmt: skip
def test_a_selection_is_numbers_slices_or_text(value, text):
    assert read_selection(value, "layers") == text
    if text is not None:
        assert select(value, 12, "layers") == select(text, 12, "layers")


@pytest.mark.parametrize("value", [[], True, [True], 1.0, [0.5], {"a": 1}, b"0", object(), "0:1:0",
                                   slice(0.5, 1), [None], np.array([0.5]), range(0)])  # fmt: skip
def test_what_selects_nothing_is_refused_by_its_name(value):
    with pytest.raises(UsageError, match=r"^`layers` must be numbers, a slice, a string") as caught:
        read_selection(value, "layers")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_number_in_a_list_must_exist_and_a_range_is_cut_as_in_python():
    with pytest.raises(UsageError, match=r"`heads`: 12 is out of range \(0 to 11\)"):
        select([0, 12], 12, "heads")
    assert select(range(10, 40), 12, "heads") == [10, 11]


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (None, ("lse",)), ("entropy", ("entropy",)), ("entropy, lse", ("entropy", "lse")),
        (["lse", "lse"], ("lse",)), (("max_prob",), ("max_prob",)), ("all", KNOWN), ("none", ()),
        ((), ()), ([], ()), (["all"], KNOWN), (np.array(["lse"]), ("lse",)),
    ],
)  # fmt: skip
def test_names_are_one_text_or_several(value, names):
    assert read_names(value, "stats", KNOWN, ("lse",)) == names


@pytest.mark.parametrize(
    "value", ["entropie", "", "entropy,", "none,lse", ["all", "lse"], [1], 7, {"lse": 1}, b"lse"]
)
def test_unknown_names_are_refused_by_the_arguments_name(value):
    with pytest.raises(
        UsageError, match=r"^`stats` must be one or more of entropy, max_prob, lse, or"
    ):
        read_names(value, "stats", KNOWN)


@pytest.mark.parametrize(
    ("value", "text"),
    [("auto", "auto"), (None, "auto"), ("none", "none"), (64, "64"), ("64", "64"),
     ((64, 32), "64x32"), ([64, 32], "64x32"), (np.int64(8), "8"), ("64x32", "64x32")],
)  # fmt: skip
def test_a_tile_is_a_number_a_pair_or_text(value, text):
    assert read_tile(value) == text


@pytest.mark.parametrize("value", [0, -4, 1.5, True, (64,), (1, 2, 3), (64, 0), [], "64 x 32"])
def test_another_tile_is_refused(value):
    with pytest.raises(UsageError, match=r"^`map_tile` must be"):
        read_tile(value)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ((), ()), (None, ()), ("-64:,0:512", ("-64:,0:512",)),
        (["0:1,2:3", ":,:"], ("0:1,2:3", ":,:")),
        ((slice(-64, None), slice(0, 512)), ("-64:,0:512",)), (np.s_[-4:, :3], ("-4:,:3",)),
        (((0, 4), (0, 9)), ("0:4,0:9",)),
        ([((0, 4), (0, 9)), (slice(5), "1:2")], ("0:4,0:9", ":5,1:2")),
        ([np.array([[0, 4], [0, 9]])], None), ((range(4), (None, 9)), ("0:4,:9",)),
    ],
)  # fmt: skip
def test_windows_are_pairs_of_spans(value, texts):
    if texts is None:
        with pytest.raises(UsageError, match=r"^`windows` must be ranges"):
            read_windows(value)
        return
    assert read_windows(value) == texts


@pytest.mark.parametrize("value", [7, [7], ["1:2"], (slice(0, 9, 2), slice(0, 1)), [((0, 1),)]])
def test_other_windows_are_refused(value):
    with pytest.raises(UsageError, match=r"^`windows` must be ranges of queries and keys"):
        read_windows(value)


def test_spans_are_slices_pairs_or_texts():
    for value in ("2:9", slice(2, 9), (2, 9), [2, 9], range(2, 9), np.array([2, 9])):
        assert read_span(value, "section") == "2:9"
        assert read_spans(value, "sections") == ("2:9",)
    assert read_spans([(0, 4), slice(-4, None), "8:"], "sections") == ("0:4", "-4:", "8:")
    for value in (3, "3", slice(0, 9, 2), (1, 2, 3), [(1, 2, 3)]):
        with pytest.raises(UsageError, match=r"^`sections` must be a range of positions"):
            read_spans(value, "sections")


def test_numbers_of_bytes_and_of_tokens():
    assert [read_bytes(v, "memory") for v in (5, "2GiB", "10MB", np.int64(9))] == [
        5, 2**31, 10_000_000, 9,
    ]  # fmt: skip
    assert [read_count(v, "chunk") for v in (5, "4k", np.int64(9))] == [5, 4096, 9]
    for value in (0, -1, 1.5, True, "x", None, "0"):
        with pytest.raises(UsageError, match=r"^`memory` must be a number of bytes such as 4096"):
            read_bytes(value, "memory")
        with pytest.raises(UsageError, match=r"^`chunk` must be an integer of at least 1, not"):
            read_count(value, "chunk")


def test_the_types_of_torch_have_the_names_of_the_command_line():
    assert read_torch_name(torch.bfloat16) == "bfloat16"
    assert read_torch_name(torch.device("cuda:1")) == "cuda:1"
    assert read_torch_name("cpu") == "cpu"


def test_python_and_the_command_line_make_the_same_options():
    python = Options(
        stats=["entropy", "lse"], layers=[0, 1], heads=slice(0, 4), lens=["mlp", "residual"],
        lens_layers=range(3), lens_positions=-1, map_tile=(64, 32), windows=np.s_[-4:, :9],
        memory=2**31, dtype=torch.float32, device=torch.device("cpu"),
    )  # fmt: skip
    line = Options(
        stats="entropy,lse", layers="0,1", heads="0:4", lens="mlp,residual", lens_layers="0:3",
        lens_positions="-1", map_tile="64x32", windows=("-4:,:9",), memory="2GiB",
        dtype="float32", device="cpu",
    )  # fmt: skip
    assert python == line
    assert python.lens == ("residual", "mlp")
    assert Options(lens=None).lens == Options().lens == ("residual",)
    assert Options(lens=()).lens == Options(lens="none").lens == ()
    assert Options(stats="entropy").stats == ("entropy",)

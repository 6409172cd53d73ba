"""A table fits the terminal: it is split where it is too wide, and every cell is there in full."""

import re

import pytest

from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.results import Results, Row
from attentropy.report.bench import summary
from attentropy.report.content.profile_words import costs, shares
from attentropy.report.terminal import print_table
from traces import profiled


def _profile():
    return costs(profiled().attrs["profile"])


def _shares():
    return shares(profiled())


def _bench():
    bounds = {"flops_per_second": 1e12, "bytes_per_second": 1e11}
    case = AttentionCase(4096, 32, 8, 128, True, "float32", "cpu")
    row = Row(0, "flash-attn 3 twice, V := K", "twice", 10**10, (0.1, 0.12, 0.2), 9, 3_000_000,
              {"entropy": 5.5e-7, "received": 2.1e-7}, ("received",))  # fmt: skip
    results = Results("attention", "attentropy bench", "ours", {}, bounds, (case,), (row,))
    return summary.columns(results), [summary.cells(results, row, None)]


@pytest.mark.parametrize("width", [40, 60, 80, 150])
@pytest.mark.parametrize("table", [_profile, _shares, _bench])
def test_a_table_fits_and_no_cell_is_cut(table, width, capsys):
    columns, rows = table()
    print_table("A title", columns, rows, width=width)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= width
    assert "…" not in re.sub(r" … ", " ", printed.replace("\u00a0", " "))
    assert printed.count("A title") == 1
    for cell in (cell for row in rows for cell in row[1:]):
        assert cell in printed.replace("\u00a0", " ")
    for word in " ".join([*columns, *(row[0] for row in rows)]).split():
        assert word in printed
    if width == 150:
        assert printed.count("┏") == 1


def test_each_part_of_a_split_table_starts_with_the_names(capsys):
    print_table("T", ["", "first", "second"], [["name", "a" * 20, "b" * 20]], width=40)
    printed = capsys.readouterr().out
    assert printed.count("name") == printed.count("┏") == 2


def test_text_in_square_brackets_is_no_markup_and_control_characters_are_escaped(capsys):
    print_table("[b]T[/b]", ["", "[red]x"], [["[b]n[/b]", "\x1b[31m"]], width=60)
    printed = capsys.readouterr().out
    assert "[b]T[/b]" in printed
    assert "[red]x" in printed
    assert "[b]n[/b]" in printed
    assert "\x1b" not in printed

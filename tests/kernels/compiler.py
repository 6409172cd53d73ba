"""The installed version of Triton: spills and instruction counts differ from one to the next.

A table with an entry per version has what was compiled and read; a version that is in none of them
is measured before it is claimed.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import TypeVar

import pytest

Entry = TypeVar("Entry")
Version = tuple[int, int]

_PARTS = version("triton").split(".")
VERSION: Version = (int(_PARTS[0]), int(_PARTS[1]))


def of_version(table: Mapping[Version, Entry]) -> Entry:
    """Return the installed version's entry of a table of counts; skip the test if it has none."""
    if VERSION not in table:
        pytest.skip(f"the instructions of Triton {version('triton')} are in no table yet")
    return table[VERSION]

"""Numbers of bytes may be written as people write them."""

import click
import pytest

from attentropy.report.commands.quantities import ByteSize


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("4096", 4096), ("500MB", 500_000_000), ("2GiB", 2**31), ("1.5 GiB", 3 * 2**29),
     ("64k", 64_000), ("64KiB", 65_536), ("1tb", 10**12), ("7B", 7)],
)  # fmt: skip
def test_an_amount_is_read(written, wanted):
    assert ByteSize().convert(written, None, None) == wanted


@pytest.mark.parametrize("written", ["", "GiB", "-1", "2 XB", "2iB", "1e9", "0", "0.1", "٢GB"])
def test_what_is_no_amount_is_named(written):
    with pytest.raises(click.BadParameter, match=r"is not a size|less than one byte"):
        ByteSize().convert(written, None, None)

"""Comparisons by ids and by texts, with and without their texts, and one that is saved."""

import shutil

import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from stores import pair
from traces import CHAT, renumbered, synthetic

EDITED = [*CHAT[:7], " a", " great", *CHAT[8:12], "!", *CHAT[12:14], *CHAT[15:]]


@pytest.fixture(scope="module")
def differences():
    """Return a comparison by ids and one by texts, each with and without its texts."""
    a, b = (synthetic(t, layers=2, heads=2, seed=i) for i, t in enumerate((CHAT, EDITED)))
    by_id = a, renumbered(b, a)
    other = b.dataset.assign_attrs(tokenizer={"sha256": "9" * 64})
    by_text = a, Trace(other)
    names = ("one.zarr", "ünï</script>")
    by_name = {
        f"{how}{' redacted' * hidden}": compare(*sides, names, redact=hidden)
        for how, sides in (("ids", by_id), ("texts", by_text))
        for hidden in (False, True)
    }
    assert [of.by_text for of in by_name.values()] == [False, False, True, True]
    return by_name


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return pair().save(tmp_path_factory.mktemp("saved") / "d.zarr")


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "d.zarr")

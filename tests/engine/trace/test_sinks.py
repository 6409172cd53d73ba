"""Sinks write values in order, with a bounded queue, and report a failure at the next call."""

import errno
import math
import shutil
import threading

import numpy as np
import pytest
import torch

from attentropy.engine.trace import store
from attentropy.engine.trace.layout import ArrayLayout
from attentropy.engine.trace.sinks import FolderSink, MemorySink

ROWS = ArrayLayout(("layer", "query"), (3, 40), np.dtype(np.float32), {"query": 16}, math.nan)
HALF = ArrayLayout(("layer", "query"), (3, 40), np.dtype(np.float16), {"query": 16}, math.nan)


@pytest.fixture
def folder(tmp_path):
    store.create_group(tmp_path / "t.zarr", {})
    return tmp_path / "t.zarr"


def _open_sink(kind, folder):
    sink = MemorySink() if kind == "memory" else FolderSink(folder)
    sink.create("entropy", ROWS)
    sink.create("max_prob", HALF)
    return sink


def _values(sink, folder, name):
    return (
        sink.arrays[name] if isinstance(sink, MemorySink) else store.open_group(folder)[name][...]
    )


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_what_is_put_is_there_and_the_rest_is_missing(folder, kind):
    sink = _open_sink(kind, folder)
    rows = torch.randn(16)
    sink.put("entropy", (1, slice(16, 32)), rows)
    sink.put("entropy", (2, slice(32, 40)), rows[:8].numpy())
    sink.put("entropy", (2, slice(32, 40)), rows[8:])  # the later value stays
    sink.flush()
    values = _values(sink, folder, "entropy")
    np.testing.assert_array_equal(values[1, 16:32], rows)
    np.testing.assert_array_equal(values[2, 32:], rows[8:])
    assert np.isnan(values).sum() == values.size - 24
    sink.close()


@pytest.mark.parametrize("kind", ["memory", "folder"])
def test_the_error_of_a_narrower_type_is_the_largest_there_was(folder, kind):
    sink = _open_sink(kind, folder)
    sink.put("max_prob", (0, slice(0, 3)), np.array([0.1, np.nan, 1.0], np.float32))
    sink.put("max_prob", (1, slice(0, 1)), np.array([0.3], np.float32))
    sink.put("entropy", (1, slice(0, 1)), np.array([0.3], np.float32))
    sink.close()
    assert sink.errors == {"max_prob": abs(float(np.float16(0.3)) - float(np.float32(0.3)))}


def test_a_chunk_is_one_layer_of_the_rows_of_one_pass(folder):
    sink = _open_sink("folder", folder)
    sink.put("entropy", (1, slice(16, 32)), torch.zeros(16))
    sink.close()
    files = [p.relative_to(folder).as_posix() for p in (folder / "entropy" / "c").rglob("*")]
    assert [file for file in files if file.count("/") == 3] == ["entropy/c/1/1"]


def test_an_array_that_is_there_is_gone_on_with(folder):
    first = _open_sink("folder", folder)
    first.put("entropy", (0, slice(0, 16)), torch.full((16,), math.nan))  # only missing values
    first.put("entropy", (0, slice(16, 32)), torch.ones(16))
    first.close()
    again = _open_sink("folder", folder)
    again.put("entropy", (1, slice(0, 16)), torch.full((16,), math.nan))
    again.close()
    assert (store.open_group(folder)["entropy"][0, 16:32] == 1).all()
    assert (folder / "entropy" / "c" / "0" / "0").exists()
    assert (folder / "entropy" / "c" / "1" / "0").exists()


def test_only_so_many_bytes_wait_and_one_piece_is_always_taken(folder):
    sink = FolderSink(folder, limit=100)
    sink.create("entropy", ROWS)
    opened, waiting = threading.Event(), []
    sink.then(opened.wait)
    sink.put("entropy", (0, slice(0, 40)), torch.zeros(40))  # 160 bytes, alone

    def more():
        sink.put("entropy", (1, slice(0, 16)), torch.ones(16))
        waiting.append("taken")

    thread = threading.Thread(target=more)
    thread.start()
    thread.join(0.3)
    assert waiting == []
    opened.set()
    thread.join(10)
    assert waiting == ["taken"]
    sink.close()
    assert (store.open_group(folder)["entropy"][1, :16] == 1).all()


def test_an_action_comes_after_all_that_was_put_before_it(folder):
    sink = _open_sink("folder", folder)
    sums = []
    sink.put("entropy", (0, slice(0, 16)), torch.ones(16))
    sink.then(lambda: sums.append(store.open_group(folder)["entropy"][0, :16].sum()), 10)
    sink.flush()
    assert sums == [16]
    sink.close()


def test_what_fails_in_the_thread_is_raised_by_the_next_call_and_nothing_more_is_written(folder):
    sink = _open_sink("folder", folder)

    def fail():
        raise OSError(errno.ENOSPC, "No space left on device")

    written = []
    sink.then(fail)
    with pytest.raises(OSError, match="No space left"):
        sink.flush()
    with pytest.raises(OSError, match="No space left"):
        sink.put("entropy", (0, slice(0, 16)), torch.ones(16))
    with pytest.raises(OSError, match="No space left"):
        sink.then(lambda: written.append(1))
    sink.close()
    assert written == []


def test_a_folder_that_is_gone_is_not_made_anew(folder):
    sink = _open_sink("folder", folder)
    shutil.rmtree(folder)
    sink.put("entropy", (0, slice(0, 16)), torch.ones(16))
    with pytest.raises(FileNotFoundError):
        sink.flush()
    sink.close()
    assert not folder.exists()

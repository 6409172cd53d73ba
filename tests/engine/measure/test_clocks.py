"""Gauges assign time and memory to the innermost open part."""

from pathlib import Path

import pytest
import torch

from attentropy.engine.measure import clocks as timing
from attentropy.engine.measure.clocks import Bytes, Seconds, peak_bytes

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """Return the time that `perf_counter` reads, for a test to advance."""
    now = [100.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    return now


def test_an_interval_belongs_to_the_innermost_part_and_to_no_other(clock):
    gauge = Seconds(CPU)
    with gauge.within("rest"):
        clock[0] += 1
        with gauge.within("other", 3):
            clock[0] += 2
            with gauge.within("attention"):
                clock[0] += 4
                with gauge.within("kernel"):
                    clock[0] += 8
                clock[0] += 16
            clock[0] += 32
        clock[0] += 64
    assert gauge.read() == {
        (None, "rest"): 65, (3, "other"): 34, (3, "attention"): 20, (3, "kernel"): 8,
    }  # fmt: skip


def test_time_outside_of_every_part_and_what_was_read_before_are_nobodys(clock):
    gauge = Seconds(CPU)
    with gauge.within("rest"):
        clock[0] += 1
    clock[0] += 10
    with gauge.within("rest"):
        clock[0] += 2
    assert gauge.read() == {(None, "rest"): 3}
    clock[0] += 10
    with gauge.within("head"):
        clock[0] += 1
    assert gauge.read() == {(None, "head"): 1}


def test_a_part_of_several_layers_is_divided_among_them_alike(clock):
    gauge = Seconds(CPU)
    with gauge.within("lens", (2, 0, 5)):
        clock[0] += 6
    with gauge.within("lens", 5):
        clock[0] += 1
    assert gauge.read() == {(0, "lens"): 2, (2, "lens"): 2, (5, "lens"): 3}
    with gauge.within("lens", ()):
        clock[0] += 4
    assert gauge.read() == {(None, "lens"): 4}


def test_a_part_that_fails_is_left(clock):
    gauge = Seconds(CPU)
    with gauge.within("rest"):
        with pytest.raises(ValueError), gauge.within("kernel", 0):  # noqa: PT011
            raise ValueError
        clock[0] += 5
    assert gauge.read()[None, "rest"] == 5


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="reads /proc, which is Linux's"
)


@needs_proc
def test_bytes_are_the_peak_while_a_part_was_innermost_beyond_its_layers_beginning():
    gauge = Bytes(CPU)
    tensors = []
    with gauge.within("rest"):
        tensors.append(torch.ones(4_000_000))  # 16 MB, before the layer starts
        with gauge.within("other", 0):
            tensors.append(torch.ones(2_000_000))  # 8 MB, not freed
            with gauge.within("kernel"):
                torch.ones(10_000_000).sum()  # 40 MB, freed at once
            with gauge.within("mlp"):
                torch.ones(5_000_000).sum()  # 20 MB, freed at once
    peaks = gauge.read()
    for key, megabytes in (
        ((None, "rest"), 24), ((0, "other"), 8), ((0, "kernel"), 48), ((0, "mlp"), 28),
    ):  # fmt: skip
        assert peaks[key] / 1e6 == pytest.approx(megabytes, abs=4), key


@needs_proc
def test_the_peak_of_the_process_is_set_back_and_then_found():
    before = peak_bytes("cpu", reset=True)
    torch.ones(8_000_000).sum()
    assert (peak_bytes("cpu") - before) / 1e6 == pytest.approx(32, abs=4)
    assert peak_bytes("cpu", reset=True) - before < 8e6


def test_where_nothing_counts_memory_nothing_is_found(monkeypatch, tmp_path):
    monkeypatch.setattr(timing, "_STATUS", tmp_path / "none")
    gauge = Bytes(CPU)
    with gauge.within("other", 0):
        pass
    assert gauge.counter is None
    assert gauge.read() == {}

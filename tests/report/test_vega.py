"""Charts are converted in a process of their own, which is replaced when it ends."""

import os
import signal

import pytest

from attentropy.report import vega

_CHART = {
    "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
    "data": {"values": [{"a": 1}, {"a": 2}]}, "mark": "bar", "encoding": {"x": {"field": "a"}},
}  # fmt: skip


def _process():
    return vega._converter().process


@pytest.mark.usefixtures("converted_again")
def test_one_process_answers_all_requests():
    first = vega.to_svg(_CHART)
    process = _process()
    assert first.startswith("<svg")
    assert vega.to_svg(_CHART) == first
    assert vega.to_vega(_CHART)["marks"]
    assert vega.to_png(first, 1, 72).startswith(b"\x89PNG")
    assert vega.to_pdf(first).startswith(b"%PDF")
    assert "vegaEmbed" in vega.bundle()
    assert _process() is process


@pytest.mark.usefixtures("converted_again")
def test_a_refusal_is_an_error_and_leaves_the_process():
    process = _process()
    with pytest.raises((ValueError, RuntimeError)):
        vega.to_svg({"mark": 1})
    with pytest.raises((ValueError, RuntimeError)):
        vega.to_png("no picture", 1, 72)
    assert vega.to_svg(_CHART).startswith("<svg")
    assert _process() is process


@pytest.mark.usefixtures("converted_again")
def test_a_process_that_was_killed_is_replaced():
    process = _process()
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(vega.DrawingStopped, match="was killed"):
        vega.to_svg(_CHART)
    assert vega.to_svg(_CHART).startswith("<svg")
    assert _process() is not process


@pytest.mark.usefixtures("converted_again")
def test_an_interrupted_request_leaves_no_answer_for_the_next(monkeypatch):
    def interrupted(self, request):
        self.process.stdin.write(request)
        self.process.stdin.flush()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vega._Converter, "answer", interrupted)
        with pytest.raises(KeyboardInterrupt):
            vega.bundle()
    assert vega.to_svg(_CHART).startswith("<svg")


@pytest.mark.usefixtures("converted_again")
def test_a_forked_process_has_a_converter_of_its_own():
    process = _process()
    child = os.fork()
    if not child:
        os._exit(0 if vega.to_svg(_CHART).startswith("<svg") and _process() is not process else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert process.poll() is None
    assert vega.to_svg(_CHART).startswith("<svg")


@pytest.mark.usefixtures("converted_again")
def test_a_chart_that_is_drawn_and_described_is_compiled_once(monkeypatch):
    names = []
    call = vega._call
    monkeypatch.setattr(vega, "_call", lambda name, *args: names.append(name) or call(name, *args))
    chart = {**_CHART, "title": "compiled once"}
    assert vega.to_vega(chart)["title"]
    vega.to_vega(chart).clear()  # the caller's own
    assert "compiled once" in vega.to_svg(chart)
    assert names == ["vegalite_to_vega", "vega_to_svg"]

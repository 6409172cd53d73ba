"""Everything that the Vega converter does: charts to pictures and programs, in a child process.

The converter holds a JavaScript engine (V8), which ends its process where it lacks address space,
threads or memory. In a process of its own it takes no trace and no page with it.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from attentropy.engine import failures
from attentropy.engine.errors import AttentropyError

_PROGRAM = Path(__file__).with_name("vega_process.py")
_ADDRESS_SPACE = 80e9  # bytes that the engine wants to reserve; it uses few of them
_WITHOUT_THREAD = "receiver is gone"  # what the converter says once its own thread has ended

_log = logging.getLogger(__name__)


class DrawingStopped(AttentropyError):
    """The process that draws was stopped from outside, or could not start. Exit code 1."""


def to_svg(chart: dict[str, Any]) -> str:
    """Return the SVG of a Vega-Lite chart."""
    return str(_call("vega_to_svg", _compiled(json.dumps(chart))))


def to_vega(chart: dict[str, Any]) -> dict[str, Any]:
    """Return the Vega specification of a Vega-Lite chart."""
    return dict(json.loads(_compiled(json.dumps(chart))))


@lru_cache(maxsize=16)  # a page's charts: each is drawn and described
def _compiled(chart: str) -> str:
    """Return the Vega specification of a Vega-Lite chart, both as JSON."""
    return json.dumps(_call("vegalite_to_vega", chart))


def scenegraph(specification: dict[str, Any]) -> dict[str, Any]:
    """Return the scene of a Vega specification."""
    return dict(_call("vega_to_scenegraph", json.dumps(specification)))


def to_png(svg: str, scale: float, ppi: float) -> bytes:
    """Return the PNG of an SVG."""
    return bytes(_call("svg_to_png", svg, scale, ppi))


def to_pdf(svg: str) -> bytes:
    """Return the PDF of an SVG. Raises `RuntimeError` where a font cannot be embedded."""
    return bytes(_call("svg_to_pdf", svg))


def bundle() -> str:
    """Return Vega, Vega-Lite and vega-embed as one script; `page.bundle` keeps it."""
    return str(_call("javascript_bundle"))


class _Converter:
    """The child process and the pipes to it; it answers one request after the other."""

    def __init__(self) -> None:
        import vl_convert  # where it is not installed, this says so

        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM), str(Path(vl_convert.__file__).parents[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _log.isEnabledFor(logging.DEBUG) else subprocess.DEVNULL,
            cwd=os.path.abspath(os.sep),  # the current folder may be gone
            env={**os.environ, "RUST_BACKTRACE": "0"},
            process_group=0 if os.name == "posix" else None,  # Ctrl-C is for its parent
        )

    def answer(self, request: bytes) -> dict[str, Any]:
        """Return the answer to a request. Raises `DrawingStopped` where the process ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(request)
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        if not line.endswith(b"\n"):
            raise DrawingStopped(_why(failures.end_of_process(self.process.wait())))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        if self.owner != os.getpid():
            return  # this process was forked, and the child is its parent's
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self.process.wait()


_converters: list[_Converter] = []  # one, once something is drawn
_lock = threading.Lock()


@atexit.register
def _end() -> None:
    while _converters:
        _converters.pop().end()


def _call(name: str, *arguments: Any) -> Any:
    """Return what a function of the converter returns for JSON arguments.

    Raises `DrawingStopped` where the process cannot start or ends, `ValueError` or `RuntimeError`
    where the converter refuses.
    """
    if not (sys.executable and _PROGRAM.is_file()) or getattr(sys, "frozen", False):
        import vl_convert

        return getattr(vl_convert, name)(*arguments)
    request = json.dumps([name, arguments]).encode() + b"\n"
    with _lock:
        try:
            answer = _converter().answer(request)
        except OSError as error:
            _end()
            raise DrawingStopped(_why(f"could not start: {failures.line(error)}")) from error
        except BaseException:  # an answer that nobody reads would be taken for the next one's
            _end()
            raise
    if "bytes" in answer:
        return base64.b64decode(answer["bytes"])
    if "result" in answer:
        return answer["result"]
    return _refuse(answer["error"], answer["message"])


def _converter() -> _Converter:
    if _converters and _converters[0].owner != os.getpid():
        _converters.clear()  # this process was forked
    if not _converters:
        _converters.append(_Converter())
    return _converters[0]


def _refuse(kind: str, message: str) -> Any:
    if _WITHOUT_THREAD in message or kind == "PanicException":
        _end()
        raise DrawingStopped(_why(f"failed ({message.splitlines()[0][:120]})"))
    if kind == "MemoryError":
        raise MemoryError(message)
    raise (ValueError if kind == "ValueError" else RuntimeError)(message)


def _why(what: str) -> str:
    """Return what happened to the process, and the limit of this one that may be why."""
    space = failures.limit_of("RLIMIT_AS")
    if space is not None and space < _ADDRESS_SPACE:
        advice = (
            f"its engine reserves {_ADDRESS_SPACE / 1e9:.0f} GB of address space, which takes no "
            f"memory, and `ulimit -v` allows {space / 1e9:.1f} GB; draw it where that is unlimited"
        )
        return f"the process that draws {what}; {advice}"
    limits = {"-u": "RLIMIT_NPROC", "-n": "RLIMIT_NOFILE"}
    low = [
        f"`ulimit {option}` ({limit})"
        for option, name in limits.items()
        if (limit := failures.limit_of(name)) is not None and limit < 256
    ]
    return f"the process that draws {what}{'; raise ' + ' and '.join(low) if low else ''}"

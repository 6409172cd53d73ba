"""The C code as a library: compiled for this processor at its first use, and cached.

The compiler is the machine's own (`CC`, or cc, gcc or clang), as it is for Triton and Inductor. The
library links to nothing of PyTorch: products and threads are those of the loaded PyTorch, passed as
addresses. Where anything is missing, `load` returns None and `missing` says what.

The environment variable ATTENTROPY_NATIVE: 0 turns the library off, 1 compiles it at the first
call, however small its work.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import torch

from attentropy.kernels.common import user_cache
from attentropy.kernels.common.mask import Mask
from attentropy.kernels.common.score import Score
from attentropy.kernels.native.call import Native, attend

_SOURCE = Path(__file__).with_name("attention.c")
_IS_X86 = platform.machine() in ("x86_64", "AMD64")
_FLAGS = (
    "-O3", "-std=gnu11", "-shared", "-fPIC", "-fopenmp-simd", "-fno-math-errno",
    "-fno-trapping-math",
    *(("-march=native", "-mprefer-vector-width=512") if _IS_X86 else ("-mcpu=native",)),
)  # fmt: skip
# Floating-point operations that take about a second longer without the library, as long as
# compiling takes.
_REPAYS = 5e10
_LIMIT = 120  # seconds that the compiler may take


class Unavailable(Exception):
    """There is no library; the text says why."""


class _Loader:
    """The library of this process: loaded at most once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work = 0.0  # floating-point operations that the library could have done so far
        self._is_cached = True  # until a look says otherwise
        self._is_ready = False
        self.native: Native | None = None
        self.missing = ""

    def load(self, work: float) -> Native | None:
        """Return the library, or None; `load` of this module documents it."""
        if self._is_ready:
            return self.native
        with self._lock:
            self._work += work
            must_compile = self._work >= _REPAYS or os.environ.get("ATTENTROPY_NATIVE") == "1"
            if not self._is_ready and (must_compile or self._is_cached):
                try:
                    self.native = _load(must_compile)
                    self._is_cached = self._is_ready = self.native is not None
                except (Unavailable, OSError) as error:
                    self.missing, self._is_ready = str(error), True
        return self.native


_loader = _Loader()


def load(work: float) -> Native | None:
    """Return the library, or None where it cannot be had or `work` does not repay compiling it.

    work: floating-point operations that the caller could leave to it. They add up over the calls of
    a process, so that many small calls compile it as one large call does. A library in the cache is
    always used.
    """
    return _loader.load(work)


def loaded() -> Native:
    """Return the library that `load` returned before."""
    assert _loader.native is not None
    return _loader.native


def missing() -> str:
    """Return why there is no library, or "" where there is one; it is compiled to know that."""
    _loader.load(_REPAYS)
    return _loader.missing


def _load(may_compile: bool) -> Native | None:
    """Return the library; None if it would have to be compiled, and may not.

    Raises `Unavailable` or `OSError` where there can be none.
    """
    if os.environ.get("ATTENTROPY_NATIVE") == "0":
        raise Unavailable("ATTENTROPY_NATIVE is 0")
    if sys.platform == "win32" or sys.byteorder != "little":
        raise Unavailable("the C code does not support this system")
    product, fork = _find_symbols("sgemm_", "GOMP_parallel")
    compiler = _find_compiler()
    name = f"attention-{_key(compiler)}"
    entry = user_cache.read(name, ".so")
    if entry is None and not may_compile:
        return None
    library = ctypes.CDLL(str(entry[0])) if entry is not None else _compile(compiler, name)
    native = Native(library, product, fork, shlex.join(compiler))
    if not (native.fits and _is_right(native)):
        raise Unavailable(f"the C code computes wrong values as {compiler[0]} compiles it")
    return native


def _find_symbols(*names: str) -> list[int]:
    """Return the addresses of functions of the loaded PyTorch, or of a library that it loaded."""
    folder = Path(torch.__file__).parent / "lib"
    paths = [folder / f"libtorch_cpu.{ending}" for ending in ("so", "dylib")]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise Unavailable("this PyTorch has no libtorch_cpu")
    library = ctypes.CDLL(str(path))
    for name in names:
        if not hasattr(library, name):
            raise Unavailable(f"this PyTorch has no {name}")
    return [ctypes.cast(getattr(library, name), ctypes.c_void_p).value or 0 for name in names]


def _find_compiler() -> tuple[str, ...]:
    """Return the command of the C compiler."""
    for name in (os.environ.get("CC", ""), "cc", "gcc", "clang"):
        words = shlex.split(name)
        if words and (path := shutil.which(words[0])):
            return (path, *words[1:])
    raise Unavailable("no C compiler is on the PATH (cc, gcc, clang, or CC)")


def _key(compiler: tuple[str, ...]) -> str:
    """Return a hash of all that the library depends on: source, compiler, flags, processor."""
    binary = Path(compiler[0]).resolve()
    about = binary.stat()
    facts = (compiler, str(binary), about.st_size, about.st_mtime_ns, _FLAGS, _describe_processor())
    return user_cache.digest(_SOURCE.read_bytes() + repr(facts).encode())


def _describe_processor() -> str:
    """Return a text that differs between processors with different instructions."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return repr(platform.uname())
    kinds = ("vendor_id", "model", "flags", "Features", "CPU ")
    return "\n".join(line for line in first.splitlines() if line.startswith(kinds))


def _compile(compiler: tuple[str, ...], name: str) -> ctypes.CDLL:
    """Return the library, compiled now; keep it in the user's cache."""
    with tempfile.TemporaryDirectory(prefix="attentropy-") as space:
        path = Path(space) / "attention.so"
        command = [*compiler, *_FLAGS, str(_SOURCE), "-o", str(path), "-lm"]
        try:
            run = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_LIMIT
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{compiler[0]} takes more than {_LIMIT} seconds") from None
        if run.returncode:
            lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
            raise Unavailable(f"{compiler[0]} failed: {lines[0]}")
        return ctypes.CDLL(str(user_cache.write(name, ".so", path.read_bytes()) or path))


def _is_right(native: Native) -> bool:
    """Return whether a small call gives what PyTorch computes."""
    q = torch.linspace(-1, 1, 60).view(1, 4, 5, 3)
    plain, mask = Score(3**-0.5), Mask(5, 5, 0, causal=True)
    k = q[:, ::2]
    result = attend(native, q, k, k, score=plain, mask=mask, sinks=None, stats=())
    wanted = torch.nn.functional.scaled_dot_product_attention(
        q, k, k, is_causal=True, enable_gqa=True
    )
    return bool(torch.allclose(result["out"], wanted, atol=1e-5))

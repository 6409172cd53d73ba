"""The C code is compiled once, trusted only where no other user could change it, never needed."""

import shutil
import subprocess
import sys

import pytest
import torch

from attention_cases import ALL
from attentropy import attention
from attentropy.kernels import choice
from attentropy.kernels.native import library
from close import assert_close, bounds, inputs


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of an empty cache, and forget which compiler there is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("ATTENTROPY_NATIVE")
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "attentropy"


@pytest.fixture
def compiled(monkeypatch):
    """Return a list with the command of each run of a compiler."""
    commands, run = [], subprocess.run

    def counted(command, **options):
        commands.append(command)
        return run(command, **options)

    monkeypatch.setattr(library.subprocess, "run", counted)
    return commands


def _script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def _load(work=library._REPAYS):
    loader = library._Loader()
    return loader.load(work), loader.missing


def test_it_is_compiled_once_and_then_read_from_the_cache(cache, compiled):
    first, reason = _load()
    assert first is not None
    assert reason == ""
    assert [path.suffix for path in cache.iterdir()] == [".so"]
    second, _ = _load(work=1)
    assert second is not None
    assert len(compiled) == 1


def test_work_adds_up_until_it_repays_compiling(cache, compiled):
    loader = library._Loader()
    assert loader.load(library._REPAYS / 2) is None
    assert loader.load(library._REPAYS / 4) is None
    assert not compiled
    assert not loader.missing
    assert loader.load(library._REPAYS / 4) is not None
    assert loader.load(0) is not None


def test_another_compiler_or_source_has_a_place_of_its_own(cache, compiled, monkeypatch, tmp_path):
    _load()
    monkeypatch.setenv("CC", _script(tmp_path / "mycc", f'exec {shutil.which("cc")} "$@"'))
    _load()
    other = tmp_path / "attention.c"
    other.write_text(library._SOURCE.read_text() + "/* another */\n")
    monkeypatch.setattr(library, "_SOURCE", other)
    _load()
    monkeypatch.setattr(library, "_describe_processor", lambda: "another")
    _load()
    assert len(compiled) == len(list(cache.iterdir())) == 4


def test_a_damaged_library_is_compiled_again(cache, compiled):
    _load()
    path = next(cache.iterdir())
    content = path.read_bytes()
    path.unlink()  # the loaded library is this file
    path.write_bytes(content[:1000])
    assert _load()[0] is not None
    assert _load(work=1)[0] is not None
    assert len(compiled) == 2


def test_without_a_cache_it_is_compiled_by_each_process(tmp_path, cache, compiled, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert _load()[0] is not None
    assert _load()[0] is not None
    assert len(compiled) == 2


def test_without_a_compiler_it_says_so_and_computes_the_same(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(library, "_loader", library._Loader())
    q, k, v = inputs(40, 40)
    with pytest.raises(
        ImportError, match=r"impl='native' cannot run: no C compiler is on the PATH"
    ):
        attention(q, k, v, impl="native")
    got = attention(q, k, v)
    assert_close(got.entropy, attention(q, k, v, impl="reference").entropy, bounds(q, k)["entropy"])
    assert choice.choose_on_cpu(1e15) == "portable"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'attention.c: no such thing' >&2; exit 1", "attention.c: no such thing"),
        ("exit 3", "exit status 3"),
        ("exit 0", "No such file"),
        (
            'for last; do :; done; shift; while [ "$1" != -o ]; do shift; done; echo x > "$2"',
            "short",
        ),
    ],
)
def test_a_compiler_that_fails_is_named(script, reason, cache, monkeypatch, tmp_path):
    monkeypatch.setenv("CC", _script(tmp_path / "bad", script))
    native, text = _load()
    assert native is None
    assert reason in text


def test_a_library_that_computes_something_else_is_not_used(cache, monkeypatch, tmp_path):
    wrong = tmp_path / "attention.c"
    source = library._SOURCE.read_text()
    assert source.count("1 / x->l") == 1
    wrong.write_text(
        source.replace("log_l = log(x->l)", "log_l = 2 * log(x->l)").replace("1 / x->l", "2 / x->l")
    )
    monkeypatch.setattr(library, "_SOURCE", wrong)
    assert "wrong values" in _load()[1]


def test_an_environment_variable_turns_it_off(cache, compiled, monkeypatch):
    monkeypatch.setenv("ATTENTROPY_NATIVE", "0")
    assert _load() == (None, "ATTENTROPY_NATIVE is 0")
    assert not compiled


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_number_of_threads_gives_the_same(threads):
    before = torch.get_num_threads()
    q, k, v = inputs(333, 333, sigma=3)
    wanted = attention(q, k, v, impl="native")
    torch.set_num_threads(threads)
    try:
        got = attention(q, k, v, impl="native")
    finally:
        torch.set_num_threads(before)
    assert_close(got.out, wanted.out, 1e-5)
    assert_close(got.entropy, wanted.entropy, 1e-5)


def test_results_do_not_depend_on_addresses_and_on_other_statistics():
    q, k, v = inputs(261, 700, dim=20, sigma=2)
    wanted = attention(q, k, v, stats=ALL, impl="native")
    for i in range(1, 9):
        moved = [torch.cat([x.flatten()[:i], x.flatten()])[i:].view_as(x) for x in (q, k, v)]
        got = attention(*moved, stats=ALL[i % len(ALL)], impl="native")
        for name in ("out", "lse", ALL[i % len(ALL)]):
            assert torch.equal(getattr(got, name), getattr(wanted, name)), name


_NESTED = """
import ctypes, torch
from attentropy import attention
from attentropy.kernels.native import library
torch.set_num_threads(2)
q = torch.randn(1, 2, 300, 16)
wanted = attention(q, q, q, impl="native").out
same = []
body = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(
    lambda _: same.append(torch.allclose(attention(q, q, q, impl="native").out, wanted, atol=1e-5))
)
address = ctypes.cast(body, ctypes.c_void_p)
fork = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
fork(library.loaded().fork)(address, None, 2, 0)
assert len(same) == 2 and all(same), same
"""


def test_a_call_inside_a_parallel_region_ends():
    subprocess.run([sys.executable, "-c", _NESTED], check=True, timeout=300)

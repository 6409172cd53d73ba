"""The user's cache returns what was put there, whole, and nothing that another user could write."""

import os

import pytest

from attentropy.kernels.common import user_cache


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new"))
    return tmp_path / "new" / "attentropy"


def test_an_entry_is_what_was_written(folder):
    assert user_cache.read("a", ".so") is None
    path = user_cache.write("a", ".so", b"content")
    assert user_cache.read("a", ".so") == (path, b"content")
    assert user_cache.read("b", ".so") is None
    assert user_cache.read("a", ".js") is None
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("content", [b"", b"conten", b"another"])
def test_a_damaged_entry_is_none(content):
    user_cache.write("a", ".so", b"content").write_bytes(content)
    assert user_cache.read("a", ".so") is None
    path = user_cache.write("a", ".so", b"content")
    assert user_cache.read("a", ".so") == (path, b"content")


@pytest.mark.parametrize("odd", ["folder", "file", "link", "user"])
def test_what_another_user_could_have_written_is_not_read(odd, folder, monkeypatch):
    path = user_cache.write("a", ".so", b"content")
    if odd == "user":
        monkeypatch.setattr(user_cache.os, "getuid", lambda: os.geteuid() + 1)
    elif odd == "link":
        path.rename(folder / "elsewhere")
        path.symlink_to(folder / "elsewhere")
    else:
        (folder if odd == "folder" else path).chmod(0o666 if odd == "file" else 0o777)
    assert user_cache.read("a", ".so") is None
    if odd in ("folder", "user"):
        assert user_cache.write("b", ".so", b"content") is None


@pytest.mark.parametrize("home", ["file", "none", "full"])
def test_a_folder_that_cannot_be_used_keeps_nothing(home, tmp_path, folder, monkeypatch):
    if home == "file":
        (tmp_path / "new").write_text("")
    elif home == "none":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr(user_cache.Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    else:
        monkeypatch.setattr(user_cache.Path, "replace", _refuse)
    assert user_cache.write("a", ".so", b"content") is None
    assert user_cache.read("a", ".so") is None
    assert not folder.exists() or not list(folder.iterdir())


def _refuse(*arguments):
    raise OSError(28, "No space left on device")

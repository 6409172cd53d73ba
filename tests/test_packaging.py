"""The wheel contains everything that the commands need, and works without the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

from attentropy.report.cli import main
from traces import synthetic

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[1]
ROOMS = ("kernels", "engine", "report", "templates")
NO_TORCH = "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; "

# Renders and describes a trace without torch, as a program; then says what a run needs.
ELSEWHERE = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "triton", "tokenizers", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
import attentropy
print(attentropy.__file__)
def code(*arguments):
    sys.argv = ["attentropy", *arguments]
    try:
        runpy.run_module("attentropy.report.cli", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code
trace = sys.argv[1]
assert code("render", trace, "-o", "page.html") == 0
assert code("info", trace) == 0
assert code("report", "-o", "other.html") == 1
"""


def _copy(folder):
    skip = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
    return Path(shutil.copytree(ROOT, folder, symlinks=True, ignore=skip))


def _without_links(folder):
    """Make every link a text file with the place that it leads to, as git does on Windows."""
    links = [path for path in folder.rglob("*") if path.is_symlink()]
    assert {path.name for path in links} == set(ROOMS)
    for path in links:
        target = os.readlink(path)
        path.unlink()
        path.write_text(target, "utf-8")
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that builds one kind of archive of a source folder, as `pip` does."""
    with DefaultIsolatedEnv() as env:

        def build_one(source, kind):
            builder = ProjectBuilder.from_isolated_env(env, source, runner=_quietly)
            env.install(builder.build_system_requires)
            return Path(builder.build(kind, tmp_path_factory.mktemp(kind)))

        yield build_one


@pytest.fixture(scope="module")
def linkless(tmp_path_factory):
    """Return the folder of a checkout without symbolic links."""
    return _without_links(_copy(tmp_path_factory.mktemp("checkout") / "linkless"))


@pytest.fixture(scope="module")
def wheel(build, linkless):
    """Return the path of the wheel that a checkout without symbolic links gives."""
    return build(linkless, "wheel")


def _quietly(command, cwd=None, extra_environ=None):
    env = os.environ | dict(extra_environ or {})
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def _names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel):
    names = _names(wheel)
    for folder in ROOMS:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"attentropy/{file.relative_to(ROOT)}" in names
    assert "attentropy/py.typed" in names
    assert not {f"attentropy/{room}" for room in ROOMS} & names  # not the links' text files
    assert {name.split("/")[0].split("-")[0] for name in names} == {"attentropy"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_a_checkout_with_links_and_the_sdist_of_one_without_give_the_same_wheel(
    build, linkless, wheel, tmp_path
):
    names = _names(wheel)
    assert _names(build(_copy(tmp_path / "copy"), "wheel")) == names
    with tarfile.open(build(linkless, "sdist")) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert _names(build(unpacked, "wheel")) == names


def test_an_editable_install_of_a_checkout_without_links_finds_the_rooms(build, linkless, tmp_path):
    archive = zipfile.ZipFile(build(linkless, "editable"))
    (path,) = (archive.read(name).decode() for name in archive.namelist() if name[-4:] == ".pth")
    code = (
        NO_TORCH + "from importlib.util import find_spec; print(find_spec('attentropy.kernels.ops')"
        ".origin); from attentropy.report.cli import main; sys.exit(main(['render', '--help']))"
    )
    env = os.environ | {"PYTHONPATH": path.strip()}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == str(linkless / "kernels" / "ops.py")
    assert "Usage" in done.stdout


def test_the_wheel_without_torch_gives_the_same_bytes_whoever_renders_where_and_when(
    wheel, tmp_path, monkeypatch, capsys
):
    here, there = tmp_path / "quuxhere", tmp_path / "quuxthere"
    here.mkdir()
    there.mkdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    trace = synthetic(layers=2, heads=2, window=False).save(tmp_path / "t.zarr.zip")
    monkeypatch.chdir(here)
    assert main(["render", str(trace), "-o", "other.html"]) == 0
    capsys.readouterr()
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path / "site"),
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8", "HOME": str(there),
        "USER": "quuxuser", "LOGNAME": "quuxuser", "COLUMNS": "110",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(trace)],
        cwd=there, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "site") in done.stdout.splitlines()[0]
    page = (there / "page.html").read_bytes()
    assert b"<html" in page[:500]
    assert b"quux" not in page
    assert page == (here / "other.html").read_bytes()
    assert "pip install 'attentropy[extract]'" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (there / "other.html").exists()

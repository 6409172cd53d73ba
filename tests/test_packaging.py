"""The wheel contains everything that the commands need, and works without the checkout.

One trace always gives the same bytes.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from attentropy.report.cli import main
from traces import synthetic

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[1]
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return the path of a wheel that `pip` builds from a copy of the checkout."""
    tmp = tmp_path_factory.mktemp("wheel")
    skip = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT, tmp / "copy", symlinks=True, ignore=skip)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp, "./copy"]
    done = subprocess.run(command, cwd=tmp, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(tmp.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("kernels", "engine", "report", "templates"):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"attentropy/{file.relative_to(ROOT)}" in names
    assert "attentropy/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"attentropy"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


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

"""The wheel contains everything that the commands need, and works without the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from traces import synthetic

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[1]
NO_TORCH = "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; "


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


def test_render_works_from_the_wheel_where_torch_is_not_installed(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    synthetic().save(tmp_path / "t.zarr.zip")
    code = (
        NO_TORCH + "import attentropy; print(attentropy.__file__); "
        "from attentropy.report.cli import main; "
        "sys.exit(main(['render', 't.zarr.zip', '-o', 'page.html']))"
    )
    env = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout.splitlines()[0]
    assert "<html" in (tmp_path / "page.html").read_text("utf-8")[:500]

"""The wheel contains everything that the commands need, and works without the checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from build import ProjectBuilder
from build.env import DefaultIsolatedEnv

from traces import synthetic

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[1]
ROOMS = ("kernels", "engine", "report", "templates")
NO_TORCH = "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None; "


class Built(NamedTuple):
    """What was built from copies of the checkout; `linkless` is the one without symbolic links."""

    wheel: Path
    linkless: Path
    linkless_wheel: Path
    sdist_wheel: Path
    editable_wheel: Path


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
def built(tmp_path_factory):
    """Build the wheels: of a copy, of one without links, of its sdist, and an editable one."""
    tmp = tmp_path_factory.mktemp("built")
    linkless = _without_links(_copy(tmp / "linkless"))
    with DefaultIsolatedEnv() as env:

        def build(source, kind, name):
            builder = ProjectBuilder.from_isolated_env(env, source, runner=_quietly)
            env.install(builder.build_system_requires)
            return Path(builder.build(kind, tmp / name))

        wheel = build(_copy(tmp / "copy"), "wheel", "wheel")
        sdist = build(linkless, "sdist", "sdist")
        with tarfile.open(sdist) as archive:
            archive.extractall(tmp / "unpacked", filter="data")
        (unpacked,) = (tmp / "unpacked").iterdir()
        return Built(
            wheel,
            linkless,
            build(linkless, "wheel", "linkless-wheel"),
            build(unpacked, "wheel", "sdist-wheel"),
            build(linkless, "editable", "editable-wheel"),
        )


def _quietly(command, cwd=None, extra_environ=None):
    env = os.environ | dict(extra_environ or {})
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def wheel(built):
    """Return the path of the wheel that a checkout without symbolic links gives."""
    return built.linkless_wheel


def _names(wheel):
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_file_of_the_package(wheel):
    names = _names(wheel)
    for folder in ROOMS:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"attentropy/{file.relative_to(ROOT)}" in names
    assert "attentropy/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"attentropy"}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_a_checkout_without_links_and_its_sdist_give_the_same_wheel(built):
    names = _names(built.wheel)
    assert not {f"attentropy/{room}" for room in ROOMS} & names  # not the text files
    assert _names(built.linkless_wheel) == names
    assert _names(built.sdist_wheel) == names


def test_an_editable_install_of_a_checkout_without_links_finds_the_rooms(built, tmp_path):
    archive = zipfile.ZipFile(built.editable_wheel)
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
    assert done.stdout.splitlines()[0] == str(built.linkless / "kernels" / "ops.py")
    assert "Usage" in done.stdout


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

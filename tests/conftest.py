"""Fixtures and settings of all tests: Triton's interpreter without a GPU, and a browser."""

import gc
import os
import shutil
import signal
import tempfile
from functools import partial

import pytest
import torch

# Triton reads this variable on its first import, and any test module may be the first to import it.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# The C code for CPUs computes from the first call on, in the processes that tests start, too: by
# default it is compiled where that is worth a second, so results would depend on the tests' order.
os.environ.setdefault("ATTENTROPY_NATIVE", "1")

# A trace is hundreds of small files, and creating one costs several times more on a disk than in
# memory. The variable reaches the workers and every process that a test starts.
_MEMORY = "/dev/shm"
if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK):
    has_room = shutil.disk_usage(_MEMORY).free >= 4 * 2**30
    os.environ["TMPDIR"] = _MEMORY if has_room else tempfile.gettempdir()
    tempfile.tempdir = None  # read the variable again


def pytest_collection_finish():
    """Exclude the objects that imports created from garbage collection.

    The libraries' objects live as long as the process. If each full collection visited them again,
    all tests together would take a tenth longer.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _signals_stay():
    """Fail where a test leaves a signal handled in another way: the next ones may wait for ever."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPROF)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Return a function that renders a trace once per set of options, for all workers.

    `written(trace, observations, max_bytes=…)` returns the path of the page.
    """
    from pages import write_page  # it imports the report, which most tests do not need

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "pages"
    folder.mkdir(exist_ok=True)
    return partial(write_page, folder)


_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
]


@pytest.fixture(scope="session")
def chromium():
    """Yield a headless Chromium driven by Playwright; without one, skip the test or fail in CI."""
    executable = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if executable is None:
        if os.environ.get("CI"):
            pytest.fail("CI has no Chromium: the browser tests did not run")
        pytest.skip("no Chromium here: install it, or name it in CHROMIUM")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()

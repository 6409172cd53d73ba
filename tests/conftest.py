"""What all tests share: Triton's interpreter without a GPU, and a browser where there is one."""

import gc
import os
import shutil

import pytest
import torch

# Triton's own library reads this when it is first imported, by whichever test module that happens.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_finish():
    """Take what the imports left behind out of the garbage collector's sight.

    The libraries' objects live as long as the process. To look through them again at each full
    collection would cost a tenth of the time of all tests.
    """
    gc.collect()
    gc.freeze()


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
    """A headless Chromium driven by Playwright; skipped visibly without one, failed in CI."""
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

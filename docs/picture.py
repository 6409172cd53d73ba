"""Take the README's picture: python docs/picture.py [report.html] [docs/report.png]

The page is the one that `make report` writes, opened in headless Chromium with the network cut.
"""

import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]


def main(page: Path = ROOT / "report.html", picture: Path = ROOT / "docs/report.png") -> None:
    """Write the picture: the figure and the findings, at 1440 pixels, in light."""
    browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        context = opened.new_context(
            viewport={"width": 1440, "height": 1260}, color_scheme="light", offline=True
        )
        tab = context.new_page()
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("canvas")
        tab.wait_for_timeout(500)
        tab.screenshot(path=picture)
        opened.close()


if __name__ == "__main__":
    main(*(Path(word) for word in sys.argv[1:]))

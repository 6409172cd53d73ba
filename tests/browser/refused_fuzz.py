"""Browsers that lack features, by the hundred: each shows every chart once.

    python -m tests.browser.refused_fuzz --cases 200 -o tests/browser/refused_fuzz.md

A case removes one to three features before the page's scripts run, or lets them throw. It fails
where a chart is seen twice or not at all, or where the figure stays still without a sentence.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import Error, sync_playwright

from pages import write_page
from refused import OVER, assert_figure, break_features
from traces import synthetic


def _run(context, address: str, seed: int) -> str:
    """Return how the page of one case ended: "live", "still", or what failed."""
    page = context.new_page()
    try:
        page.add_init_script("".join(break_features(seed).values()))
        page.goto(address)
        page.wait_for_function(OVER, timeout=30_000, polling=50)
        return "live" if assert_figure(page) else "still"
    except (AssertionError, Error) as error:
        return f"failed: {str(error)[:300]}"
    finally:
        page.close()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium")
    counts: Counter[str] = Counter()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        address = write_page(Path(folder), synthetic()).as_uri()
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        for seed in range(arguments.first, arguments.first + arguments.cases):
            ended = _run(context, address, seed)
            counts[ended.partition(":")[0]] += 1
            if ended.startswith("failed"):
                print(f"{seed}: {', '.join(break_features(seed))}: {ended}", flush=True)
        name = f"Chromium {browser.version}"
        browser.close()
    minutes = (time.perf_counter() - started) / 60
    text = f"""# Browsers that lack features

`python -m tests.browser.refused_fuzz --first {arguments.first} --cases {arguments.cases}`

| live | still, with a sentence | failed |
| --- | --- | --- |
| {counts["live"]} | {counts["still"]} | {counts["failed"]} |

{name}, {minutes:.0f} min on a shared machine.
"""
    print(text)
    if arguments.output:
        arguments.output.write_text(text, "utf-8")
    sys.exit(1 if counts["failed"] else 0)


if __name__ == "__main__":
    main()

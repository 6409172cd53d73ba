"""Addresses by the thousand: each shows its state, or the nearest one and a line that says so.

    python -m tests.report.address_fuzz --cases 2000 -o tests/report/address_fuzz.md

Case n is `addresses.address(n, …)`: a state of the page itself, one with changed fields, or
anything. It is opened in one of the pages of `PAGES`, one in `FRESH` in a new load of the page and
the others as a pasted address. A case fails if the page raises an error, the figure is empty, the
line is there although the state is that of the address, or is not there although it differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

from addresses import address, is_shown

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from hybrids import hybrid
from sourced import capital
from traces import synthetic

FRESH = 20
_PAUSE = 11_000  # milliseconds after which a browser writes addresses again
PAGES: dict[str, Callable[[], Trace]] = {
    "with sources": capital,
    "layers without attention": hybrid,
    "comparison": lambda: compare(synthetic(seed=1), synthetic(seed=2), ("a", "b")),
}
# Paste an address, wait until the page is quiet, and return what it shows.
PASTE = """async (text) => {
  history.replaceState(null, "", text === "" ? location.pathname : `#${text}`);
  const asked = location.hash.slice(1);
  dispatchEvent(new HashChangeEvent("hashchange"));
  await whenIdle();
  return { asked, ...window.shownHere() };
}"""
# An address as the browser writes it.
ASKED = "(text) => new URL(`#${text}`, location).hash.slice(1)"
# The shown state, the line, and how many colours the figure has in some thousand points.
SHOWN = """window.shownHere = () => {
  const canvas = document.querySelector("#canvas canvas"), small = document.createElement("canvas");
  [small.width, small.height] = [96, 64];
  const context = small.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.drawImage(canvas, 0, 0, 96, 64);
  const words = new Uint32Array(context.getImageData(0, 0, 96, 64).data.buffer);
  const note = document.getElementById("address-note");
  return { shown: location.hash.slice(1), note: note.hidden ? "" : note.textContent,
    colours: new Set(words).size, pwned: Boolean(window.pwned),
    parts: [...document.querySelectorAll("[id]")].map((element) => element.id),
    live: document.documentElement.classList.contains("live") };
};"""


def failure(result: dict[str, Any], errors: list[str]) -> str:
    """Return what is wrong with a case, "" for nothing."""
    if errors or result["pwned"]:
        return f"error: {errors[:1]}"
    if not result["live"] or result["colours"] < 6:
        return f"the figure is empty ({result['colours']} colours)"
    is_same = is_shown(result["asked"], result["shown"], set(result["parts"]))
    if is_same == bool(result["note"]):
        return f"line {result['note'][:200]!r} for {result['shown'][:300]!r}"
    return ""


def run(cases: list[int], files: dict[str, Path], opened: Any) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each case, its page and its outcome: shown, told or what failed."""
    names, current, own = list(files), "", {}
    for number in sorted(cases, key=lambda n: n % len(names)):
        name = names[number % len(names)]
        if name != current:
            opened.page.goto("about:blank")
            opened.page.goto(files[name].as_uri())
            opened.settle()
            own[name], current = opened.address(), name
        text = address(number, own[name])
        opened.errors.clear()
        if number // len(names) % FRESH == 0:
            opened.page.goto("about:blank")
            opened.page.goto(f"{files[name].as_uri()}#{text}")
            opened.settle()
            fragment = opened.page.evaluate(ASKED, text)
            opened.page.evaluate(SHOWN)
            result = {"asked": fragment, **opened.page.evaluate("shownHere()")}
        else:
            opened.page.evaluate(SHOWN)
            result = opened.page.evaluate(PASTE, text)
        wrong = failure(result, opened.errors)
        if wrong:  # Chromium drops changes of the address that come faster than 20 a second
            opened.page.wait_for_timeout(_PAUSE)
            opened.page.evaluate(SHOWN)
            result = opened.page.evaluate(PASTE, text)
            wrong = failure(result, opened.errors)
        yield (
            number,
            name,
            (wrong and f"{result['asked'][:300]}: {wrong}")
            or ("told" if result["note"] else "shown"),
        )


def main() -> None:
    """Run the command line."""
    import shutil

    from playwright.sync_api import sync_playwright

    from conftest import listen
    from pages import write_page

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--only", type=int, nargs="+", help="some cases alone")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    cases = arguments.only or list(range(arguments.cases))
    rows: dict[str, Counter[str]] = {name: Counter() for name in PAGES}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        files = {name: write_page(Path(folder), make()) for name, make in PAGES.items()}
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened = listen(browser.new_page(viewport={"width": 1440, "height": 1000}))
        for number, name, outcome in run(cases, files, opened):
            rows[name][outcome if outcome in ("shown", "told") else "failed"] += 1
            if outcome not in ("shown", "told"):
                print(f"{number} ({name}): {outcome}", flush=True)
        chromium = browser.version
    text = report(rows, arguments.cases, chromium)
    print(text)
    if arguments.output:
        arguments.output.write_text(text)
    sys.exit(1 if any(counts["failed"] for counts in rows.values()) else 0)


def report(rows: dict[str, Counter[str]], cases: int, chromium: str) -> str:
    """Return the outcomes as a Markdown table with a description."""
    total = sum(rows.values(), Counter())
    lines = [
        f"| {name} | {n['shown']:,} | {n['told']:,} | {n['failed']:,} |"
        for name, n in [*rows.items(), ("all", total)]
    ]
    return (
        "# Addresses\n\n"
        f"`python -m tests.report.address_fuzz --cases {cases}` (a case's number is its seed).\n\n"
        "| page | shown as asked | nearest state, and a line that says so | failed |\n"
        "| --- | --- | --- | --- |\n" + "\n".join(lines) + "\n\n"
        "Failed is an error of the script, an empty figure, a line although the page shows what "
        "the address asks for, or none although it does not. One case in "
        f"{FRESH} is a new load of the page, the others are pasted addresses; a case that fails "
        f"is tried once more after {_PAUSE // 1000} s, because Chromium drops changes of the "
        f"address that come too fast. Chromium {chromium}, "
        f"playwright {version('playwright')}.\n"
    )


if __name__ == "__main__":
    main()

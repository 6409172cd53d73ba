"""What a page costs whoever opens it: bytes, first picture, interactive, drag, search, heap.

    python -m tests.benchmarks.page TRACE [--max-bytes 10MB] [--json]     (a .zarr or .zarr.zip)
    python -m tests.benchmarks.page --make 131072 [--thumbnails] OUT.zarr (a synthetic trace)

The browser is headless Chromium without a GPU, from CHROMIUM or from the path. Importing this
module needs no browser.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

AIMS = {
    "bytes": 10_000_000,
    "render_seconds": 20.0,
    "first_picture_ms": 500.0,
    "interactive_ms": 1500.0,
    "frame_p95_ms": 33.4,
    "heap_bytes": 100_000_000,
}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info", "--js-flags=--expose-gc"]

# The largest paint so far, and when the page becomes live, in ms since navigation.
_WATCH = """
(() => {
  window.seen = {};
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === 'first-contentful-paint') window.seen.painted = entry.startTime;
  }).observe({ type: 'paint', buffered: true });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (entry.element && entry.element.closest('#figure') && window.seen.picture === undefined) window.seen.picture = entry.startTime;
    }
  }).observe({ type: 'largest-contentful-paint', buffered: true });
  new MutationObserver(() => {
    if (document.documentElement.classList.contains('live') && window.seen.live === undefined) window.seen.live = performance.now();
  }).observe(document, { attributes: true, subtree: true, attributeFilter: ['class'] });
})()
"""  # noqa: E501
# Collects the times between animation frames, while the figure's frame is dragged left and back.
_FRAMES = """
() => { window.frames_ms = []; let last = performance.now(); window.stop = false;
  const tick = (now) => { window.frames_ms.push(now - last); last = now;
    if (!window.stop) requestAnimationFrame(tick); }; requestAnimationFrame(tick); }
"""
# Returns the time of the slowest search, of texts with many matches, few and none.
_SEARCH = """
() => { const input = document.getElementById('search');
  return Math.max(...['w', ' ', 'w1', ' w', ' w1 w2', '[.*^$('].map((text) => {
    input.value = text; const from = performance.now();
    input.dispatchEvent(new Event('input')); return performance.now() - from; })); }
"""


def rendered(trace: Path, page: Path, max_bytes: str) -> dict[str, float]:
    """Return the seconds and peak bytes of rendering a trace in its own process."""
    code = (
        "import sys; from attentropy.report.cli import main; "
        f"sys.exit(main(['render', {str(trace)!r}, '-o', {str(page)!r}, '--force', "
        f"'--max-bytes', {max_bytes!r}]))"
    )
    import subprocess

    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {"render_seconds": seconds, "render_peak_bytes": peak, "bytes": page.stat().st_size}


def opened(page: Path, runs: int = 3) -> dict[str, float]:
    """Return medians over `runs` openings, frame times of all drags, and the heap after a GC."""
    from playwright.sync_api import sync_playwright

    executable = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if executable is None:
        raise SystemExit("no Chromium here: install it, or name it in CHROMIUM")
    rows: list[dict[str, Any]] = []
    frames: dict[str, list[float]] = {"narrow": [], "wide": []}
    with sync_playwright() as driver:
        for _ in range(runs):
            browser = driver.chromium.launch(executable_path=executable, args=_FLAGS)
            tab = browser.new_context(
                viewport={"width": 1440, "height": 1000}, offline=True
            ).new_page()
            tab.add_init_script(_WATCH)
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("html.live", timeout=60_000)
            tab.wait_for_timeout(500)
            times = tab.evaluate("window.seen")
            rows.append(
                {"first_picture_ms": times.get("picture", times["painted"]),
                 "interactive_ms": times["live"]}
            )  # fmt: skip
            frames["narrow"] += _drag(tab)
            _widen(tab)
            frames["wide"] += _drag(tab)
            rows[-1]["search_ms"] = tab.evaluate(_SEARCH)
            tab.evaluate("window.gc && window.gc()")
            rows[-1]["heap_bytes"] = tab.evaluate("performance.memory.usedJSHeapSize")
            browser.close()
    medians = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
    every = frames["narrow"] + frames["wide"]
    return medians | {
        "frame_p95_ms": float(np.percentile(every, 95)),
        **{f"frame_p95_{name}_ms": float(np.percentile(f, 95)) for name, f in frames.items()},
        "frame_median_ms": float(np.median(every)),
        "frames": len(every),
    }


def _place(tab: Any) -> tuple[float, float]:
    """Return the screen point at the centre of the frame."""
    x, y = tab.evaluate(
        "(() => { const c = document.querySelector('#canvas canvas');"
        " c.scrollIntoView({block: 'center'}); const r = c.getBoundingClientRect();"
        " const g = new URLSearchParams(location.hash.slice(1));"
        " const report = JSON.parse(document.getElementById('report').textContent);"
        " const [a, b] = [Number(g.get('a')), Number(g.get('b'))];"
        " const x = (a + b) / 2 / report.n * report.sizes.wide.total;"
        " return [r.x + Number(c.dataset.left) + x, r.y + Number(c.dataset.top) + 30] })()"
    )
    return float(x), float(y)


def _drag(tab: Any) -> list[float]:
    x, y = _place(tab)
    mouse = tab.mouse
    mouse.move(x, y)
    mouse.down()
    tab.wait_for_timeout(100)
    tab.evaluate(_FRAMES)
    for i in range(120):
        mouse.move(x - 4 * (i if i < 60 else 120 - i), y)
        tab.wait_for_timeout(8)
    tab.evaluate("window.stop = true")
    mouse.up()
    tab.wait_for_timeout(200)
    return list(tab.evaluate("window.frames_ms.slice(2)"))


def _widen(tab: Any) -> None:
    """Widen the frame to a twentieth of the prompt, which is drawn as a picture, not as cells."""
    tab.evaluate(
        "(() => { const g = new URLSearchParams(location.hash.slice(1));"
        " const n = JSON.parse(document.getElementById('report').textContent).n;"
        " g.set('a', Math.floor(n * 0.55)); g.set('b', Math.floor(n * 0.6));"
        " g.set('col', Math.floor(n * 0.57)); location.hash = g.toString(); })()"
    )
    tab.reload()
    tab.wait_for_selector("html.live", timeout=60_000)
    tab.wait_for_timeout(500)


def make(
    tokens: int, target: Path, layers: int = 32, heads: int = 32, *, thumbnails: bool = False
) -> None:
    """Write a synthetic trace of a long prompt: see `long_traces.long`."""
    from long_traces import long

    long(tokens, layers=layers, heads=heads, thumbnails=thumbnails).save(target, force=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--make", type=int, metavar="TOKENS", help="Write a synthetic trace.")
    parser.add_argument("--thumbnails", action="store_true", help="With a picture of each head.")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--max-bytes", default="10MB")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.make:
        make(
            options.make, options.trace, options.layers, options.heads,
            thumbnails=options.thumbnails,
        )  # fmt: skip
        return
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        numbers = rendered(options.trace, page, options.max_bytes)
        numbers |= opened(page, options.runs)
    if options.json:
        print(json.dumps(numbers))
        return
    for name, value in numbers.items():
        aim = AIMS.get(name)
        verdict = (
            "" if aim is None else f"  (at most {aim:,.0f}: {'yes' if value <= aim else 'NO'})"
        )
        print(f"{name:24} {value:16,.1f}{verdict}")


if __name__ == "__main__":
    main()

"""Fixtures that open a page without a network and collect its errors and requests."""

from __future__ import annotations

import io
import re
import shutil
import threading
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import attentropy
from attentropy.report.page.document import opening_script, template_text, without_comments
from attentropy.report.page.program import ENTRY, bundle

# Runs before the page's own script. Collects violations of the page's policy, and in `pending` what
# the script waits for: timers (except those of five seconds and more, for which a test need not
# wait), frames, and streams that are being read.
OBSERVED = """
window.violations = [];
addEventListener('securitypolicyviolation',
  (e) => window.violations.push(e.violatedDirective + ' ' + e.blockedURI));
(() => {
  const pending = new Set();
  const frame = requestAnimationFrame.bind(window), idle = requestIdleCallback.bind(window);
  const watch = (begin, end, isShort) => {
    const [start, stop] = [window[begin], window[end]], tickets = new Map();
    const over = (id) => { pending.delete(tickets.get(id)); tickets.delete(id); };
    window[begin] = (call, ...rest) => {
      const id = start((...values) => { over(id); return call(...values); }, ...rest);
      if (isShort(rest[0])) { const ticket = {}; tickets.set(id, ticket); pending.add(ticket); }
      return id;
    };
    window[end] = (id) => { over(id); stop(id); };
  };
  watch('setTimeout', 'clearTimeout', (milliseconds) => (milliseconds || 0) < 5000);
  watch('requestAnimationFrame', 'cancelAnimationFrame', () => true);
  for (const name of ['text', 'arrayBuffer']) {
    const read = Response.prototype[name];
    Response.prototype[name] = function () {
      const ticket = {}, reading = read.call(this), over = () => pending.delete(ticket);
      pending.add(ticket);
      reading.then(over, over);
      return reading;
    };
  }
  // Chromium may forget an idle callback when the window is resized: the timeout calls it then.
  const round = () => new Promise((done) =>
    frame(() => frame(() => idle(() => done(), { timeout: 200 }))));
  // Twice in a row nothing: what follows a promise may begin in the round after it.
  window.whenIdle = async () => {
    const isBusy = () => pending.size > 0
      || document.getAnimations().some((animation) => animation.playState === 'running');
    for (let rounds = 0; rounds < 2; rounds += 1) {
      await round();
      if (isBusy()) rounds = -1;
    }
  };
})();
"""


@dataclass
class Opened:
    """An open page: Playwright's `page`, its errors, requests and dialogs in order of arrival."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    shown: tuple[Any, ...] | None = None  # the file, the size and whether it is dark

    def clear(self) -> None:
        """Leave the page, and forget what it raised."""
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)
        self._forget()

    def _forget(self) -> None:
        for messages in (self.errors, self.requests, self.dialogs):
            messages.clear()

    def follow(self, fragment: str) -> None:
        """Go to a state of the page, as it is after it opened in that state."""
        self.page.mouse.move(0, 0)
        self.page.emulate_media(color_scheme="dark" if self.shown and self.shown[3] else "light")
        self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        self._forget()
        self.go(fragment.removeprefix("#"))

    def settle(self) -> None:
        """Wait until the page is completely loaded and the figure shows the current state."""
        self.page.wait_for_selector("html.whole", timeout=20_000)
        self.quiet()

    def quiet(self) -> None:
        """Wait until the page has no pending work and everything is drawn."""
        self.page.evaluate("whenIdle()")

    def address(self) -> str:
        """Return the fragment of the address, in which the page keeps its state."""
        fragment: str = self.page.evaluate("location.hash.slice(1)")
        return fragment

    def state(self) -> dict[str, str]:
        """Return the state in the address, by name, after the page has updated it."""
        self.quiet()
        return dict(part.split("=", 1) for part in self.address().split("&"))

    def go(self, fragment: str) -> None:
        """Follow a link of the same page."""
        self.page.evaluate("(f) => { location.hash = f; }", fragment)
        self.quiet()

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def pinned(self, i: int) -> list[list[str]]:
        """Return the rows of inset i's table as lists of texts, the header first."""
        rows: list[list[str]] = self.page.evaluate(
            "(i) => [...document.querySelectorAll('.pin')[i].querySelectorAll('tr')]"
            ".map((row) => [...row.children].map((cell) => cell.innerText.trim()))",
            i,
        )
        return rows

    def corner(self, chart: str = "#canvas") -> tuple[float, float]:
        """Return the screen position x, y of a chart's origin."""
        canvas = self.page.locator(f"{chart} canvas")
        box = canvas.bounding_box()
        left, top = canvas.evaluate("(c) => [c.dataset.left, c.dataset.top].map(Number)")
        return box["x"] + left, box["y"] + top

    def pixels(self) -> NDArray[np.int64]:
        """Return a screenshot of the viewport as [row, column, colour]."""
        image = Image.open(io.BytesIO(self.page.screenshot()))
        return np.asarray(image.convert("RGB")).astype(int)

    def details(self) -> str:
        """Return what the details pane says of the cell under the pointer, or the selected one."""
        self.quiet()
        text: str = self.page.inner_text("#details")
        return text

    def violations(self) -> list[str]:
        """Return the violations of the content security policy so far."""
        violations: list[str] = self.page.evaluate("window.violations")
        return violations

    def assert_clean(self) -> None:
        """Assert that the page raised no errors, dialogs or violations, and made no requests."""
        assert self.errors == []
        assert self.dialogs == []
        assert self.violations() == []
        assert self.requests == []


def listen(page: Any, own: tuple[str, ...] = ("file:", "data:")) -> Opened:
    """Collect the page's errors, warnings, dialogs, and requests to other than `own` addresses."""
    result = Opened(page)

    def dismiss(dialog: Any) -> None:
        result.dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("pageerror", lambda error: result.errors.append(str(error)))
    page.on(
        "console",
        lambda m: result.errors.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on(
        "request",
        lambda r: None if r.url.startswith(own) else result.requests.append(r.url),
    )
    page.add_init_script(OBSERVED)
    return result


@pytest.fixture(scope="session")
def tabs(chromium):
    """Yield the open tabs, by whether they have touch and scripts; each shows page after page.

    A new tab starts a process, which must compile the charts' program again: opening a page in it
    costs twice as much as in a tab that showed one before.
    """
    opened: dict[tuple[bool, bool], Opened] = {}
    yield opened
    for tab in opened.values():
        tab.page.context.close()


@pytest.fixture
def open_page(request, chromium, written, tabs):
    """Render a trace and open the file: `open_page(trace, width=…, touch=…, max_bytes=…)`.

    A page that was opened before with the same `touch` and `scripts` closes. Opening takes a second
    of a processor: a test of what `fragment` shows, and not of how a page opens, may say
    `fresh=False` and follows it as a link where this page is still open in this size.
    """
    failed = request.session.testsfailed

    def opened(
        trace,
        *,
        observations=None,
        width=1440,
        height=1100,
        dark=False,
        touch=False,
        scripts=True,
        fragment="",
        fresh=True,
        **options,
    ):
        file = written(trace, observations, **options)
        if (touch, scripts) not in tabs:
            context = chromium.new_context(has_touch=touch, java_script_enabled=scripts)
            context.set_offline(True)
            tabs[touch, scripts] = listen(context.new_page())
        result = tabs[touch, scripts]
        shown = (file, width, height, dark)
        if not fresh and result.shown == shown:
            result.follow(fragment)
            return result
        result.clear()
        result.shown = shown
        result.page.set_viewport_size({"width": width, "height": height})
        result.page.emulate_media(media="null", color_scheme="dark" if dark else "light")
        result.page.goto(file.as_uri() + fragment)
        if scripts:
            result.settle()
        return result

    yield opened
    if request.session.testsfailed > failed:  # a button or key may still be pressed
        while tabs:
            tabs.popitem()[1].page.context.close()


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def modules_server(tmp_path_factory):
    """Serve a folder with the script's modules and yield the folder and its address."""
    folder = tmp_path_factory.mktemp("modules")
    shutil.copytree(Path(attentropy.__file__).parent / "templates" / "script", folder / "script")
    (folder / "bundle.js").write_text(bundle(), "utf-8")
    start = f'import {{ startPage }} from "./script/{ENTRY}";\nstartPage(window.vegaEmbed);\n'
    (folder / "start.js").write_text(start, "utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def open_modules(chromium, written, modules_server):
    """Open a trace's page with its script as real modules: `open_modules(trace, settle=…)`.

    With `coverage`, Chromium counts the calls of each function. The page's policy allows scripts
    from the server instead of the scripts named by hash.
    """
    folder, address = modules_server
    contexts = []

    def opened(trace, *, observations=None, settle=True, coverage=False, **options):
        html = written(trace, observations, **options).read_text("utf-8")
        loader = without_comments(template_text("script/shell/loader.js"))
        (folder / "opening.js").write_text(opening_script(), "utf-8")
        html = html.replace(f"<script>{opening_script()}", '<script src="opening.js">')
        modules = '<script src="bundle.js"></script><script type="module" src="start.js"></script>'
        assert html.count(f"<script>{loader}</script>") == 1
        html = html.replace(f"<script>{loader}</script>", modules)
        html, policies = re.subn("script-src .*?; style", "script-src 'self'; style", html)
        assert policies == 1
        (folder / "report.html").write_text(html, "utf-8")
        context = chromium.new_context(viewport={"width": 1440, "height": 1100})
        contexts.append(context)
        result = listen(context.new_page(), own=(address, "data:"))
        profiler = context.new_cdp_session(result.page)
        if coverage:
            profiler.send("Profiler.enable")
            profiler.send("Profiler.startPreciseCoverage", {"callCount": True})
        result.page.goto(f"{address}report.html")
        if settle:
            result.settle()
        return result, profiler

    yield opened
    for context in contexts:
        context.close()

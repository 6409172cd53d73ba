"""A page opened with the network cut, with everything that it complains of collected."""

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
from attentropy.report.findings.single import observe
from attentropy.report.page.document import source
from attentropy.report.page.page import render
from attentropy.report.page.program import ENTRY, bundle

# After so many milliseconds of the page's own clock, with two frames drawn and nothing left to do:
# a busy machine makes this longer, never too short.
QUIET = """(ms) => new Promise((done) => setTimeout(() => {
  requestAnimationFrame(() => requestAnimationFrame(() => requestIdleCallback(() => done())));
}, ms))"""


@dataclass
class Opened:
    """`page` is Playwright's; the lists hold complaints and requests, as they come."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def settle(self) -> None:
        """Wait until all of the page is read and the figure drawn for the current state."""
        self.page.wait_for_selector("html.whole", timeout=20_000)
        self.quiet(250)

    def quiet(self, milliseconds: int = 150) -> None:
        """Wait so long, and until what was begun by then is drawn."""
        self.page.evaluate(QUIET, milliseconds)

    def address(self) -> str:
        """The state in the address, as the page itself knows it."""
        fragment: str = self.page.evaluate("location.hash.slice(1)")
        return fragment

    def state(self) -> dict[str, str]:
        """What the address says, once the page has had time to say it."""
        self.quiet(120)
        return dict(part.split("=", 1) for part in self.address().split("&"))

    def go(self, fragment: str) -> None:
        """Follow a link of the same page."""
        self.page.evaluate("(f) => { location.hash = f; }", fragment)
        self.quiet(250)

    def press(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def pinned(self, i: int) -> list[list[str]]:
        """Rows of an inset's table as lists of text, the header first."""
        rows: list[list[str]] = self.page.evaluate(
            "(i) => [...document.querySelectorAll('.pin')[i].querySelectorAll('tr')]"
            ".map((row) => [...row.children].map((cell) => cell.innerText.trim()))",
            i,
        )
        return rows

    def corner(self, chart: str = "#canvas") -> tuple[float, float]:
        """Where on the screen a chart's own pixels begin."""
        canvas = self.page.locator(f"{chart} canvas")
        box = canvas.bounding_box()
        left, top = canvas.evaluate("(c) => [c.dataset.left, c.dataset.top].map(Number)")
        return box["x"] + left, box["y"] + top

    def pixels(self) -> NDArray[np.int64]:
        """What is in sight, [row, column, colour]."""
        image = Image.open(io.BytesIO(self.page.screenshot()))
        return np.asarray(image.convert("RGB")).astype(int)

    def violations(self) -> list[str]:
        """Violations of the content security policy so far."""
        found: list[str] = self.page.evaluate("window.violations")
        return found

    def assert_clean(self) -> None:
        """Asserts that the page complained of nothing and asked the network for nothing."""
        assert self.errors == []
        assert self.violations() == []
        assert self.requests == []


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file of a trace, rendered once with each set of options; nobody changes such a trace."""
    files: dict[Any, tuple[Any, Path]] = {}

    def file(trace, found=None, **options):
        key = (id(trace), *sorted(options.items()))
        if key not in files:
            path = tmp_path_factory.mktemp("page") / "report.html"
            path.write_text(render(trace, found or observe(trace), **options), "utf-8")
            files[key] = trace, path  # the trace is kept so that its id stays its own
        return files[key][1]

    return file


def listen(page: Any, own: tuple[str, ...] = ("file:", "data:")) -> Opened:
    """Collect what the page complains of, and its requests for anything but its `own` addresses."""
    result = Opened(page)
    page.on("pageerror", lambda error: result.errors.append(str(error)))
    page.on(
        "console",
        lambda m: result.errors.append(m.text) if m.type in ("error", "warning") else None,
    )
    page.on(
        "request",
        lambda r: None if r.url.startswith(own) else result.requests.append(r.url),
    )
    page.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation',"
        " (e) => window.violations.push(e.violatedDirective + ' ' + e.blockedURI))"
    )
    return result


@pytest.fixture
def open_page(chromium, written):
    """Render a trace and open the file: `open_page(trace, width=…, touch=…, max_bytes=…)`."""
    contexts = []

    def opened(
        trace,
        *,
        found=None,
        width=1440,
        height=1100,
        dark=False,
        touch=False,
        scripts=True,
        fragment="",
        **options,
    ):
        file = written(trace, found, **options)
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
            java_script_enabled=scripts,
        )
        contexts.append(context)
        context.set_offline(True)
        result = listen(context.new_page())
        result.page.goto(file.as_uri() + fragment)
        if scripts:
            result.settle()
        return result

    yield opened
    for context in contexts:
        context.close()


class _Quiet(SimpleHTTPRequestHandler):
    """A server of files that logs nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def modules_server(tmp_path_factory):
    """A folder with the script's modules as they are in the package, and its address."""
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

    The page's policy allows scripts of the server in place of those it names by hash.
    """
    folder, address = modules_server
    contexts = []

    def opened(trace, *, found=None, settle=True, **options):
        html = written(trace, found, **options).read_text("utf-8")
        loader = source("script/shell/loader.js")
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
        profiler.send("Profiler.enable")
        profiler.send("Profiler.startPreciseCoverage", {"callCount": True})
        result.page.goto(f"{address}report.html")
        if settle:
            result.settle()
        return result, profiler

    yield opened
    for context in contexts:
        context.close()

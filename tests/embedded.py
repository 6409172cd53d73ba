"""Pages as other pages, sites and archives show them: embedded, under a policy, saved."""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A policy that a site sends along: of CI servers, artefact stores, dashboards.
POLICIES = {
    "no scripts": "script-src 'none'",
    "no data pictures": "img-src 'self'",
    "neither": "script-src 'none'; img-src 'self'",
    "jenkins": "sandbox; default-src 'none'; img-src 'self'; style-src 'self'",
    "no styles": "style-src 'self'",
    "no styles, no scripts": "style-src 'self'; script-src 'none'",
}
# What a host does to show a page: attributes of its frame, or a script that fills it.
FRAMES = {
    "src": 'src="/page"',
    "srcdoc": 'srcdoc="{escaped}"',
    "sandboxed": 'sandbox="allow-scripts" srcdoc="{escaped}"',
    "sandboxed, no scripts": 'sandbox="" srcdoc="{escaped}"',
    "lazy": 'loading="lazy" srcdoc="{escaped}"',
}
FILLED = {
    "blob": "frame.src = URL.createObjectURL(new Blob([text], { type: 'text/html' }))",
    "data": "frame.src = 'data:text/html;charset=utf-8,' + encodeURIComponent(text)",
    "written": "const own = frame.contentDocument; own.open(); own.write(text); own.close()",
    "closed tab": "frame.style.display = 'none'; frame.srcdoc = text;"
    " window.show = () => { frame.style.display = 'block'; }",
    "no height": "frame.style.height = 0; frame.srcdoc = text;"
    " window.show = () => { frame.style.height = '900px'; }",
}
WAYS = ("file", "copy", *FRAMES, *FILLED, *POLICIES)
# Where the page's scripts do not run, and where none of its pictures is shown by itself.
STILL = {"sandboxed, no scripts", "no scripts", "neither", "jenkins", "no styles, no scripts"}
REFUSED = {"no data pictures", "neither", "jenkins"}
UNSTYLED = {"jenkins", "no styles, no scripts"}

# What a reader sees of a page: the figures by kind, sentences, controls, hints.
SEEN = """(() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isSeen = (element) => {
    const { width, height } = element.getBoundingClientRect();
    return element.checkVisibility({ visibilityProperty: true }) && width > 1 && height > 1;
  };
  const pictures = all('.still').map((still) => ({
    still: [...still.querySelectorAll('img')].filter(isSeen).length,
    live: [...still.parentElement.querySelectorAll('canvas')].filter(isSeen).length,
    isFirst: still.parentElement.id === 'figure' || still.closest('.profile') !== null,
  }));
  const words = document.body.innerText;
  return {
    pictures,
    broken: all('img').filter((picture) => isSeen(picture) && !picture.naturalWidth).length,
    notice: all('#notice, main > .unstyled').filter(isSeen).map((own) => own.innerText).join(),
    controls: all('button:not(.term), select, input').filter(isSeen).length,
    hints: words.match(/[^.]*\\b(?:click|drag|hover|arrow keys)\\b[^.]*/gi) ?? [],
    width: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    letters: words.length,
    state: document.documentElement.className,
  };
})()"""


class _Handler(BaseHTTPRequestHandler):
    """Answers with the page, under the policy or in the frame that the address names."""

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        name = self.path[1:].replace("%20", " ")
        if name == "slow.svg":  # holds back a host's event `load`
            time.sleep(self.server.delay)
        text = self.server.text
        body, policy = host(name, text) or text, POLICIES.get(name)
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self.server.reports.append(json.loads(self.rfile.read(size)))
        self.send_response(204)
        self.end_headers()


def host(name: str, text: str) -> str | None:
    """Return a page that shows the page `text` in a frame; None where `name` is no such way."""
    style = '<!doctype html><body style="margin:0">'
    frame = '<iframe id="frame" style="width:100%;height:900px;border:0"'
    if name in FRAMES:
        return f"{style}{frame} {FRAMES[name].format(escaped=html.escape(text))}></iframe>"
    if name in FILLED:
        literal = json.dumps(text).replace("<", "\\u003c")
        script = f"const frame = document.getElementById('frame'), text = {literal};{FILLED[name]}"
        return f"{style}{frame}></iframe><script>{script}</script>"
    return None


@contextmanager
def serving(delay: float = 0) -> Iterator[Any]:
    """Serve the pages of all ways; set `text` of what this yields to the page to be shown."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.text, server.delay, server.reports = "", delay, []
    server.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""Pages as other pages, sites and archives show them: embedded, under a policy, saved."""

from __future__ import annotations

import html
import json
import threading
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
    "lazy": 'loading="lazy" srcdoc="{escaped}"',
    "src": 'src="/page"',
    "srcdoc": 'srcdoc="{escaped}"',
    "sandboxed": 'sandbox="allow-scripts" srcdoc="{escaped}"',
    "sandboxed, no scripts": 'sandbox="" srcdoc="{escaped}"',
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

# What a reader sees of a `document`: the figures, sentences, controls, hints.
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
        if name == "late.svg":  # holds back a host's event `load` until the host has reported
            self.server.reported.wait(_LONGEST)
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
        self.server.report = json.loads(self.rfile.read(size))
        self.server.reported.set()
        self.send_response(204)
        self.end_headers()


def host(name: str, text: str) -> str | None:
    """Return a page that shows the page `text` in a frame; None where `name` is no such way."""
    style = '<!doctype html><body style="margin:0">'
    frame = '<iframe id="frame" style="width:100%;height:900px;border:0"'
    if name in FRAMES:
        return f"{style}{frame} {FRAMES[name].format(escaped=html.escape(text))}></iframe>"
    if name in FILLED:
        script = f"const frame = document.getElementById('frame'), {_literal(text)};{FILLED[name]}"
        return f"{style}{frame}></iframe><script>{script}</script>"
    if name == "all":
        return _host_of_all(text)
    return None


def _literal(text: str) -> str:
    return f"text = {json.dumps(text)}".replace("<", "\\u003c")


# Shows what is hidden, waits until each document that can be looked into has started, and reports.
_REPORT = """
const seen = (document) => %(seen)s;
const frames = [...document.querySelectorAll('iframe')];
const ownOf = (frame) => { try { return frame.contentDocument; } catch { return null; } };
const isStill = (frame) => %(still)s.includes(frame.title);
setTimeout(() => { for (const show of shows) show(); }, 2000);
const started = Date.now();
const watch = setInterval(() => {
  const own = frames.filter((frame) => ownOf(frame) && !isStill(frame));
  const isOver = own.every((frame) => ownOf(frame).documentElement?.matches('.whole'));
  if ((!isOver || Date.now() - started < 6000) && Date.now() - started < %(longest)d) return;
  clearInterval(watch);
  const report = frames.map((frame) => [frame.title, ownOf(frame) && seen(ownOf(frame))]);
  fetch('/report', { method: 'POST', body: JSON.stringify(Object.fromEntries(report)) });
}, 500);
"""
_LONGEST = 150  # seconds


def _host_of_all(text: str) -> str:
    """Return a page that shows the page `text` in all ways, one below the other."""
    style = "width:100%;height:900px;border:0;display:block"
    parts = ['<!doctype html><body style="margin:0">']
    parts += [
        f'<iframe title="{name}" style="{style}" {attributes.format(escaped=html.escape(text))}>'
        "</iframe>"
        for name, attributes in FRAMES.items()
    ]
    parts += [f'<iframe title="{n}" style="{style}" src="/{n}"></iframe>' for n in POLICIES]
    parts += [f'<iframe title="{name}" style="{style}"></iframe>' for name in FILLED]
    fills = "".join(
        f"{{ const frame = document.querySelector('[title=\"{name}\"]'); {fill}; }}"
        for name, fill in FILLED.items()
    ).replace("window.show = ", "shows.push(")
    fills = fills.replace("'block'; }", "'block'; })").replace("'900px'; }", "'900px'; })")
    report = _REPORT % {
        "seen": SEEN, "still": json.dumps(sorted(STILL)), "longest": 1000 * _LONGEST - 30_000,
    }  # fmt: skip
    script = f"const {_literal(text)}, shows = [];{fills}{report}"
    return "".join([*parts, '<img src="/late.svg">', f"<script>{script}</script>"])


@contextmanager
def serving() -> Iterator[Any]:
    """Serve the pages of all ways; set `text` of what this yields to the page to be shown."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.text, server.report, server.reported = "", None, threading.Event()
    server.address = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""What a browser may lack: features from the names that the script uses, one by one or several."""

from __future__ import annotations

import random
import re
from typing import Any

from attentropy.report.page.modules import code_only, join, load
from attentropy.report.page.program import ENTRY, script
from embedded import SEEN

# Names in the code that are the language's own, or that a test itself needs.
_LANGUAGE = {
    "Array", "Boolean", "Date", "Error", "Float32Array", "Float64Array", "Infinity", "Int16Array",
    "Int32Array", "Int8Array", "JSON", "Map", "Math", "NaN", "Number", "Object", "Promise",
    "RegExp", "Set", "String", "Uint16Array", "Uint32Array", "Uint8Array", "WeakMap", "undefined",
    "document", "window", "console", "name", "status", "event", "top", "length", "parent", "self",
}  # fmt: skip
# Parts of objects that the script or the charts' library uses.
_PARTS = (
    ("HTMLDialogElement.prototype", "showModal"), ("HTMLElement.prototype", "showPopover"),
    ("Element.prototype", "scrollIntoView"), ("Element.prototype", "setPointerCapture"),
    ("Element.prototype", "replaceChildren"), ("DOMTokenList.prototype", "toggle"),
    ("String.prototype", "toWellFormed"), ("String.prototype", "replaceAll"),
    ("Array.prototype", "at"), ("Object", "hasOwn"), ("Navigator.prototype", "clipboard"),
    ("CanvasRenderingContext2D.prototype", "putImageData"),
    ("CanvasRenderingContext2D.prototype", "measureText"),
    ("HTMLCanvasElement.prototype", "getContext"), ("History.prototype", "replaceState"),
    ("Document.prototype", "adoptedStyleSheets"), ("CSSStyleSheet.prototype", "replaceSync"),
    ("Response.prototype", "arrayBuffer"), ("Blob.prototype", "stream"),
    ("Uint8Array", "fromBase64"), ("Uint8Array", "from"), ("MediaQueryList.prototype", "matches"),
    ("document", "fonts"),
)  # fmt: skip
REMOVED = "delete window[%(name)r]; Object.defineProperty(window, %(name)r, { value: undefined });"
REFUSING = """Object.defineProperty(window, %(name)r, {
  get() { throw new DOMException('The operation is insecure.', 'SecurityError'); } });"""
_PART_REMOVED = "Object.defineProperty(%s, '%s', { value: undefined, configurable: true });"
_PART_REFUSING = """Object.defineProperty(%s, '%s', { configurable: true,
  get() { throw new DOMException('The operation is insecure.', 'SecurityError'); } });"""

# The page's start is over, well or not. As a function, because a string would be evaluated.
OVER = """() => document.documentElement.classList.contains('whole')
  || (!document.adoptedStyleSheets?.length && document.readyState === 'complete')"""


def feature_names() -> list[str]:
    """Return the names in the page's own code that may be a browser's."""
    code = code_only(join(load(ENTRY, script)))
    names = set(re.findall(r"(?<![\w$.])[A-Za-z]\w+(?![\w$]|\s*:)", code))
    return sorted(names - _LANGUAGE)


# The features among them, found in Chromium, and some that it may come to use; without what a page
# cannot redefine (`location`) and what the tests' driver needs (timers, listeners).
_WINDOW = (
    "Blob", "DecompressionStream", "IntersectionObserver", "NodeFilter", "ResizeObserver",
    "Response", "URL", "URLSearchParams", "devicePixelRatio",
    "getComputedStyle", "getSelection", "history", "innerHeight", "innerWidth", "matchMedia",
    "navigator", "requestAnimationFrame", "scrollY", "localStorage", "sessionStorage", "indexedDB",
    "caches", "crypto", "OffscreenCanvas", "createImageBitmap", "Worker", "requestIdleCallback",
    "fetch", "CSSStyleSheet", "Path2D", "ImageData", "queueMicrotask", "Image",
    "MutationObserver", "structuredClone", "AbortController", "WebAssembly",
)  # fmt: skip


def break_features(seed: int) -> dict[str, str]:
    """Return one to three features by name, each with the script that removes or refuses it.

    The first seeds break each feature alone, in both ways.
    """
    plain, parts = (REMOVED, REFUSING), (_PART_REMOVED, _PART_REFUSING)
    one_by_one = [
        *((name, how % {"name": name}) for how in plain for name in _WINDOW),
        *((f"{owner}.{name}", how % (owner, name)) for how in parts for owner, name in _PARTS),
    ]
    random.Random(0).shuffle(one_by_one)
    if seed < len(one_by_one):
        return dict(one_by_one[seed : seed + 1])
    drawn = random.Random(seed)
    wrapped = drawn.sample(one_by_one, drawn.randint(2, 3))
    return {name: f"try {{ {code} }} catch {{}}" for name, code in wrapped}


def assert_figure(page: Any) -> bool:
    """Assert that each chart is seen once and a page that stays still says why; return if live."""
    view = page.evaluate(SEEN)
    assert view["pictures"]
    for picture in view["pictures"]:
        assert picture["still"] + picture["live"] == 1, view
    is_live = view["pictures"][0]["live"] == 1
    assert is_live or "could not start here (" in view["notice"], view
    assert is_live or view["controls"] == 0, view
    return is_live

"""Texts by the thousand: each has a label that can be seen, and none widens what it stands in.

    python -m tests.report.label_fuzz --cases 2000 -o tests/report/label_fuzz.md

Text n is `label_texts.text(n)`. Each is checked in every form (`label_checks`), and in batches as
the tokens, the answer, the vocabulary, the notes, the names of model and segments of a trace: in
the page at three widths, in its attributes, in the exported SVG, and drawn as a label on a canvas.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

import numpy as np
from label_checks import wrong_forms
from label_texts import KINDS, hidden_in, kind_of, text

import attentropy
from attentropy.engine.trace.dataset import Trace
from attentropy.report.text import label, mark_whitespace
from traces import synthetic

BATCH = 200
WIDTHS = (1440, 820, 420)
# Blanks that the page itself writes between a number and its unit.
_OWN = " \n\t\u00a0\u202f"
# All texts of the page and of its attributes, once each.
TEXTS = """() => {
  const all = new Set(), names = ["title", "aria-label", "alt", "placeholder"];
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { data, parentNode } = walker.currentNode;
    if (!/^(SCRIPT|STYLE)$/.test(parentNode.nodeName)) all.add(data);
  }
  for (const element of document.querySelectorAll(names.map((name) => `[${name}]`).join())) {
    for (const name of names) all.add(element.getAttribute(name) ?? "");
  }
  return [...all];
}"""
# What is wider than the page although nothing around it scrolls or cuts it.
WIDER = """() => {
  const isCut = ({ parentElement: e }) =>
    Boolean(e) && (getComputedStyle(e).overflowX !== "visible" || isCut(e));
  const isWide = (e) => e.getBoundingClientRect().right > innerWidth + 1 && e.id !== "tip";
  const wide = [...document.querySelectorAll("body *")].filter((e) => isWide(e) && !isCut(e));
  const width = document.documentElement.scrollWidth;
  const whole = width > innerWidth ? [`the page: ${width}`] : [];
  return [...whole, ...wide.slice(0, 3).map((e) => e.outerHTML.slice(0, 120))];
}"""
# The labels that leave no ink on a canvas.
INKLESS = """(labels) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 240, height: 60 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.font = '16px system-ui, "Noto Sans", "DejaVu Sans", sans-serif';
  return labels.filter((text) => {
    context.clearRect(0, 0, 240, 60);
    context.fillText(text, 20, 35);
    return !context.getImageData(0, 0, 240, 60).data.some((value) => value);
  });
}"""


def trace_of(texts: list[str]) -> Trace:
    """Return a trace with the texts wherever a trace has one."""
    roles = ["content"] * (len(texts) - 1) + ["template"]
    words = dict.fromkeys(texts)
    trace = synthetic(
        texts, roles, layers=2, heads=2, window=False, generated=texts[:4], words=[*words][:64]
    )
    attrs = trace.dataset.attrs
    attrs["model"] = attrs["model"] | {"name": texts[5][:3000], "revision": texts[6][:300]}
    attrs |= {
        "answer": "".join(t[:500] for t in texts[:4]),
        "notes": [t[:2000] for t in texts[7:12]],
    }
    notes = np.array([t[:800] for t in texts[12:14]], np.dtypes.StringDType())
    dataset = trace.dataset.assign_coords(attention_note=("layer", notes))
    names = dict.fromkeys(t[:60].strip() or "x" for t in texts[14:18])
    ends = np.cumsum([len(own) for own in texts]).tolist()
    step = len(texts) // (len(names) + 1)
    spans = {name: [ends[i * step], ends[(i + 1) * step]] for i, name in enumerate(names)}
    return Trace(dataset).with_segments(spans)


def wrong_in_page(opened: Any, file: Path, texts: list[str]) -> list[str]:
    """Return what is wrong with a page of these texts, at every width."""
    wrong = []
    for width in WIDTHS:
        opened.clear()
        opened.page.set_viewport_size({"width": width, "height": 900})
        opened.page.goto(file.as_uri())
        opened.settle()
        opened.page.evaluate(
            "document.querySelectorAll('details').forEach((e) => { e.open = true; })"
        )
        opened.quiet()
        wrong += [f"at {width}: {problem}" for problem in opened.page.evaluate(WIDER)]
        wrong += [f"error: {error}" for error in opened.errors]
    for shown in opened.page.evaluate(TEXTS):
        if hidden := hidden_in(shown, _OWN):
            wrong.append(f"{hidden[:5]} in the page's {shown[:80]!a}")
    labels = [label(own, 8) for own in texts] + [mark_whitespace(own[:20]) for own in texts]
    wrong += [f"no ink: {own!a}" for own in opened.page.evaluate(INKLESS, labels)]
    return wrong


def wrong_in_picture(trace: Trace) -> list[str]:
    """Return what is wrong with the texts of the exported picture and its caption."""
    wrong = []
    for figure in ("lens", "attention"):
        document = attentropy.export(trace, figure, "svg", section=(0, 30))
        root = ElementTree.fromstring(document.data)
        shown = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
        for own in (*shown, document.caption):
            if hidden := hidden_in(own, _OWN):
                wrong.append(f"{hidden[:5]} in the figure's {own[:80]!a}")
    return wrong


def run(numbers: list[int], pages: int, folder: Path, opened: Any) -> list[tuple[str, str]]:
    """Return what is wrong, (kind or batch, problem) each; the first `pages` texts are in pages."""
    from pages import write_page

    wrong = [(f"{n} ({kind_of(n)})", problem) for n in numbers for problem in wrong_forms(text(n))]
    for first in range(0, pages, BATCH):
        own = [text(n) for n in numbers[first : first + BATCH]]
        trace, name = trace_of(own), f"batch {numbers[first]}"
        wrong += [
            (name, problem) for problem in wrong_in_page(opened, write_page(folder, trace), own)
        ]
        wrong += [(name, problem) for problem in wrong_in_picture(trace)]
    return wrong


def main() -> None:
    """Run the command line."""
    from playwright.sync_api import sync_playwright

    from conftest import listen

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--pages", type=int, help="texts to open in pages, by default all")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    numbers = list(range(arguments.cases))
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        pages = arguments.pages or len(numbers)
        wrong = run(numbers, pages, Path(folder), listen(browser.new_page()))
        chromium = browser.version
    for place, problem in wrong:
        print(f"{place}: {problem}")
    if arguments.output:
        arguments.output.write_text(report(numbers, pages, wrong, chromium))
    print(f"{len(wrong)} wrong of {len(numbers)} texts")
    sys.exit(bool(wrong))


def report(numbers: list[int], n_pages: int, wrong: list[tuple[str, str]], chromium: str) -> str:
    """Return the outcomes as a Markdown table with a description."""
    texts = Counter(kind_of(n) for n in numbers)
    failed = Counter(
        kind_of(int(place.split()[0])) for place, _ in set(wrong) if place[0].isdigit()
    )
    lines = [f"| {kind} | {texts[kind]:,} | {failed[kind]:,} |" for kind in KINDS]
    batches = -(-n_pages // BATCH)
    pages = sum(not place[0].isdigit() for place, _ in wrong)
    return (
        "# Texts that are hard to show\n\n"
        f"`python -m tests.report.label_fuzz --cases {len(numbers)} --pages {n_pages}` "
        "(a text's number is its seed)."
        "\n\n| kind | texts | wrong |\n| --- | --- | --- |\n" + "\n".join(lines) + "\n"
        f"| in {batches} pages at {', '.join(map(str, WIDTHS))} px and {2 * batches} pictures | "
        f"{n_pages:,} | {pages:,} |\n\n"
        "Wrong is a character without ink in a text that is shown (besides joiners and selectors "
        "within an emoji or a word of a script that joins), a label wider than its columns or "
        "without ink on a canvas, a tower of accents, an error of the script, or anything wider "
        f"than the page. Chromium {chromium}, playwright {version('playwright')}.\n"
    )


if __name__ == "__main__":
    main()

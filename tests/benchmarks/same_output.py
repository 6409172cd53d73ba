"""Compare what two source trees produce: pages, exported figures, traces, help texts, screenshots.

    git worktree add ../before REVISION
    python tests/benchmarks/same_output.py ../before . --screenshots

The first tree writes the stored traces. Both trees then render them, export every figure in every
format, and record the same prompts. Everything must be equal byte for byte; in a page the script
and its hash in the policy are each replaced by a fixed word first. A page that fills its byte
budget is left out: how much it holds depends on the length of the script. Prints one line per
comparison and exits with 1 if any differs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

COMMANDS = ("report", "extract", "render", "profile", "compare", "export", "info", "bench")
SITES = ("--lens", "residual,attention,mlp")
STATISTICS = "max_prob,max_logit,varentropy,distance,sink_mass,top_key,lse"
# Name of the trace -> arguments of `extract` for the embedded model.
RUNS = {
    "question": (),
    "sites": ("-p", "What is the capital of France?", *SITES, "--stats", STATISTICS),
    "raw": ("-p", "The capital of Chile is", "--no-chat-template", "--window", "-3:,0:4"),
    "some": ("-p", "What is the currency of Japan?", "--layers", "1:", "--heads", "0,1"),
    "mean": ("-p", "What is the language of Peru?", "--heads", "mean", "--storage", "float16"),
    "lensless": ("--ids", "ids.txt", "--lens", "none", "--no-scores", "--map-tile", "16"),
    "chunks": ("--ids", "ids.txt", "--chunk", "256", "--lens-positions", "-64:"),
    "long": ("--ids", "long.txt", "--lens-positions", "-512:"),
}
EXPORTS = """
import itertools, pathlib, sys
from attentropy import Trace, export
from attentropy.engine.errors import AttentropyError
traces, target = map(pathlib.Path, sys.argv[1:])
formats = ("svg", "png", "pdf", "csv")
figures = {
    "lens": [{}, {"stat": "lens_kl"}, {"site": "mlp"}, {"palette": "cividis", "theme": "dark"}],
    "attention": [{}, {"head": 1}, {"layer": 2}, {"layer": 2, "head": 1}, {"stat": "max_prob"}],
    "map": [{}, {"layer": 1}],
    "heads": [{}, {"score": "sink"}],
    "profile": [{}],
}
for name in ("question", "sites", "long", "profile"):
    trace = Trace.open(traces / f"{name}.zarr.zip")
    for figure, choices in figures.items():
        for (i, choice), format in itertools.product(enumerate(choices), formats):
            try:
                data = export(trace, figure, format, **choice).data
            except AttentropyError as error:
                data = str(error).encode()
            (target / f"{name}-{figure}-{i}.{format}").write_bytes(data)
"""
RECORDS = """
import pathlib, sys, torch
from transformers import AutoModelForCausalLM
from attentropy import record
from attentropy.engine import demo
target = pathlib.Path(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(demo.path()).eval()
ids = torch.randint(0, model.config.vocab_size, (3, 37), generator=torch.Generator().manual_seed(0))
mask = torch.ones_like(ids)
mask[1, :5] = mask[2, :20] = 0
with torch.no_grad():
    with record(model) as batch:
        model(ids, attention_mask=mask)
    with record(model, stats=("entropy", "top_key", "varentropy")) as answer:
        model.generate(ids[:1], max_new_tokens=9, do_sample=False)
for i, trace in enumerate([*batch.traces, answer.trace]):
    trace.save(target / f"record{i}.zarr.zip")
"""


def run(tree: Path, work: Path, *arguments: str) -> str:
    """Run Python with `tree`'s package in the folder `work` and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=work, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {' '.join(arguments)[:200]}\n{done.stderr[-3000:]}")
    return done.stdout


def attentropy(tree: Path, work: Path, *arguments: str) -> str:
    """Run the command line of `tree`."""
    return run(tree, work, "-m", "attentropy.report.cli", *arguments)


def write_prompts(work: Path) -> None:
    """Write two files of token ids, the same each time."""
    draw = random.Random(0)
    for name, length in (("ids", 700), ("long", 4000)):
        ids = " ".join(str(draw.randrange(20, 250)) for _ in range(length))
        (work / f"{name}.txt").write_text(ids, "ascii")


def record_traces(tree: Path, work: Path) -> None:
    """Write the traces of `RUNS`, those of `record`, and a profile."""
    for name, arguments in RUNS.items():
        attentropy(tree, work, "extract", *arguments, "-o", f"{name}.zarr.zip")
    run(tree, work, "-c", RECORDS, ".")


def draw_pages(tree: Path, traces: Path, target: Path) -> None:
    """Render, compare and export the stored `traces` into `target`."""
    for name in ("question", "sites", "some", "mean", "lensless", "long", "profile", "record1"):
        source = str(traces / f"{name}.zarr.zip")
        attentropy(tree, target, "render", source, "-o", f"{name}.html")
    for name, pair in {
        "compare": ("question", "sites"),
        "compare-long": ("lensless", "chunks"),
    }.items():
        sources = [str(traces / f"{trace}.zarr.zip") for trace in pair]
        attentropy(tree, target, "compare", *sources, "-o", f"{name}.html")
    run(tree, target, "-c", EXPORTS, str(traces), str(target))
    for command in ("", *COMMANDS):
        words = [command] if command else []
        (target / f"help-{command}.txt").write_text(attentropy(tree, target, *words, "--help"))


def content(file: Path) -> bytes:
    """Return a file's bytes, without the script and its hash if the file is a page."""
    data = file.read_bytes()
    if file.suffix != ".html":
        return data
    data = re.sub(rb'(id="program">)[^<]*', rb"\1PROGRAM", data)
    return re.sub(rb"(script-src ).*?(?=style-src)", rb"\1HASH; ", data)


def values(path: Path) -> dict[str, object]:
    """Return all arrays and attributes of a trace."""
    with zarr.storage.ZipStore(path, mode="r") as store:
        group = zarr.open_group(store, mode="r")
        arrays: dict[str, object] = {name: array[:] for name, array in group.arrays()}
        return arrays | {f"@{name}": value for name, value in group.attrs.items()}


def differences(old: Path, new: Path) -> Iterator[str]:
    """Yield one line per trace variable or attribute that is not equal."""
    a, b = values(old), values(new)
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            yield f"{old.name}: {name} is only in the {'new' if name in b else 'old'} trace"
        elif not equal(a[name], b[name]):
            yield f"{old.name}: {name} differs"


def equal(a: object, b: object) -> bool:
    """Return whether two values are the same, NaN where NaN, of the same type."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        same_type = a.dtype == b.dtype and a.shape == b.shape
        return same_type and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return a == b


def screenshots(pages: list[Path]) -> dict[tuple[str, int, str], bytes]:
    """Return the picture of each page at two widths, light and dark."""
    from playwright.sync_api import sync_playwright

    pictures = {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
        )
        for page in pages:
            for width, scheme in ((1440, "light"), (420, "dark")):
                context = browser.new_context(
                    viewport={"width": width, "height": 1100}, color_scheme=scheme
                )
                tab = context.new_page()
                tab.goto(page.as_uri())
                tab.wait_for_selector("html.whole", timeout=60_000)
                tab.wait_for_timeout(1500)
                pictures[page.name, width, scheme] = tab.screenshot(full_page=True)
                context.close()
        browser.close()
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--work", type=Path, help="keep the results in this folder")
    parser.add_argument("--screenshots", action="store_true")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp())
    trees = {"old": options.old.resolve(), "new": options.new.resolve()}
    for name, tree in trees.items():
        traces = work.resolve() / name
        if not (name == "old" and (traces / "profile.zarr.zip").exists()):
            traces.mkdir(parents=True, exist_ok=True)
            for file in traces.iterdir():
                file.unlink()
            write_prompts(traces)
            record_traces(tree, traces)
            if name == "old":
                attentropy(
                    tree, traces, "profile", "-p", "What is the capital of Peru?", "--repeat", "1",
                    "-o", "profile.zarr.zip",
                )  # fmt: skip
            draw_pages(tree, work.resolve() / "old", traces)
    old, new = work.resolve() / "old", work.resolve() / "new"
    lines: list[str] = []
    count = 0
    for file in sorted(old.iterdir()):
        other = new / file.name
        if file.name.endswith(".zarr.zip"):
            if file.name != "profile.zarr.zip":
                count += 1
                lines += differences(file, other)
        elif not other.exists() or content(file) != content(other):
            lines.append(f"{file.name} differs")
        count += 1
    if options.screenshots:
        before, after = (
            screenshots(sorted(old.glob("*.html"))),
            screenshots(sorted(new.glob("*.html"))),
        )
        count += len(before)
        lines += [
            f"picture of {name} differs" for name in before if before[name] != after.get(name)
        ]
    print("\n".join(lines) or "everything is equal", f"({count} files and pictures compared)")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()

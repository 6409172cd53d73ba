"""Draw docs/rooms.svg, the rooms of the project floor by floor: python docs/rooms.py

The floors are those that tests/test_rooms.py holds.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from test_rooms import FLOORS  # noqa: E402

WIDTH, ROW, GAP, TOP = 236, 30, 56, 64
TITLES = {
    "report": "a trace becomes a page",
    "engine": "a model is recorded",
    "kernels": "the maths",
}
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1b1f24 }
.title { font-weight: 600; font-size: 15px }
.note { fill: #57606a; font-size: 12px }
.middle { text-anchor: middle }
rect { fill: #f6f8fa; stroke: #8c959f }
path { stroke: #57606a; fill: none; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .note { fill: #9da7b1 } rect { fill: #21262d; stroke: #6e7681 }
  path { stroke: #9da7b1 }
}
"""


def floors(folder: str) -> list[list[str]]:
    """Return the floors of one folder from the top down, each a list of room names."""
    lines = [re.findall(rf"\b{folder}\.(\S+)", line) for line in FLOORS.split("\n")]
    return [line for line in reversed(lines) if line]


def draw_floor(rooms: list[str], left: float, y: float) -> list[str]:
    """Return the boxes of one floor side by side, as wide as their names need."""
    parts, x = [], left
    free = WIDTH - 4 * (len(rooms) - 1)
    for room in rooms:
        wide = free * (len(room) + 3) / sum(len(other) + 3 for other in rooms)
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="24" rx="3"/>')
        parts.append(f'<text class="middle" x="{x + wide / 2:.1f}" y="{y + 17}">{room}</text>')
        x += wide + 4
    return parts


def main() -> None:
    """Write the picture."""
    tallest = max(len(floors(folder)) for folder in TITLES)
    parts = []
    for column, (folder, title) in enumerate(TITLES.items()):
        left = 10 + column * (WIDTH + GAP)
        parts.append(f'<text class="title" x="{left}" y="24">{folder}/</text>')
        parts.append(f'<text class="note" x="{left}" y="44">{title}</text>')
        lines = floors(folder)
        for row, rooms in enumerate(lines, tallest - len(lines)):
            parts += draw_floor(rooms, left, TOP + row * ROW)
        if column:
            start, stop = left - GAP + 6, left - 8
            parts.append(f'<path d="M{start} 20 H{stop} m-6 -4 l6 4 l-6 4"/>')
            middle = (start + stop) / 2
            parts.append(f'<text class="note middle" x="{middle}" y="12">imports</text>')
    height = TOP + ROW * tallest + 10
    width = 3 * WIDTH + 2 * GAP + 20
    picture = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label="Rooms of attentropy, floor by floor">'
        f"<style>{STYLE}</style>{''.join(parts)}</svg>\n"
    )
    (ROOT / "docs/rooms.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    main()

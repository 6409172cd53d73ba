// Live cells: rectangles with a colour and a text.
import { report } from "../data/page.js";
import { isAnswer, texts, word } from "../data/texts.js";
import { labelOf } from "../data/format.js";
import { colourOf, inkOn, toHex } from "../data/colours.js";
import { hasText, isThin, rowEdges, rowKindOf, textStep } from "../data/readable.js";
import { state } from "../data/state.js";
import { scaleShown } from "../data/statistics.js";
import { entropyAt } from "../data/rows.js";
import { topKey, topToken } from "../data/tokens.js";
import { layout } from "./canvas.js";
import { pairText, stackedText, tokenPair } from "./pairs.js";

export function cellText(row, position, letters) {
  if (report.compare) return pairText(tokenPair(row, position), letters);
  if (state.view === "lens") {
    const best = topToken(row, position, 0);
    return best ? word(best.id) : "";
  }
  const key = topKey(row, position);
  return key < 0 ? "" : texts.token(key);
}

export function makeCell(x, y, text, c, y1 = y + 1, kind = "") {
  return { x0: x, x1: x + 1, xc: x + 0.5, y0: y, y1, yc: (y + y1) / 2, text, fill: toHex(c), tint: inkOn(c), muted: kind === "unreadable", pale: kind === "pale" };
}

// Whether a cell names the answer's token.
const namesAnswer = (row, position) => !report.compare && state.view === "lens" && isAnswer(topToken(row, position, 0)?.id ?? -1);

// The cells of one column of layers at `position`; collapsed rows have none.
export function columnCells(rows, x, position, textOf, colour) {
  const many = rows.length, edges = rowEdges(many), step = textStep(edges[many], layout.height);
  return rows.flatMap((row, r) => {
    if (isThin(edges, r)) return [];
    const cell = makeCell(x, edges[r], hasText(r, many, step) ? textOf(row) : "", colour(row), edges[r + 1], rowKindOf(row));
    return [namesAnswer(row, position) ? { ...cell, named: true } : cell];
  });
}

export function sectionCells(rows, letters) {
  const cells = [], scale = scaleShown();
  for (let p = state.a; p < state.b; p++) {
    cells.push(...columnCells(rows, p, p, (row) => labelOf(cellText(row, p, letters), letters), (row) => colourOf(entropyAt(row, p), scale, state.palette)));
  }
  return cells;
}

// The lens's top token with its probability, or the most attended token; of two traces, both tokens.
export function insetText(row, twoLines) {
  if (report.compare && twoLines) return stackedText(tokenPair(row, state.col), layout.insetLetters);
  const text = labelOf(cellText(row, state.col, layout.insetLetters), layout.insetLetters);
  if (report.compare || state.view !== "lens" || !text || layout.insetLetters < 10) return text;
  const { p } = topToken(row, state.col, 0);
  return Number.isFinite(p) ? `${text}  ${p.toFixed(2)}` : text;
}

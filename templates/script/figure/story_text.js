// The texts of a copied figure, in lines: the page's headline above it, its caption below it.
import { $ } from "../data/page.js";

const WIDE = "\\u2e80-\\u9fff\\uac00-\\ud7af\\uf900-\\ufaff\\uff00-\\uff60";
// A word with the blanks after it; a wide letter (Chinese, Japanese, Korean) is one by itself.
const WORD = new RegExp(`[${WIDE}]\\s*|[^\\s${WIDE}]+\\s*|\\s+`, "gu");
const measuring = document.createElement("canvas").getContext("2d");

export const LINE_HEIGHT = 1.3;
export const storyFamily = () => getComputedStyle(document.body).fontFamily;
export const fontOf = ({ bold, size }) => `${bold ? "bold " : ""}${size}px ${storyFamily()}`;

// The runs of an element, each with its style; `bold` is that of its plain text.
function runsOf(element, size, bold) {
  const runs = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const inside = (selector) => walker.currentNode.parentElement.closest(selector);
    const colour = inside("em.unsure") ? "orange" : inside("em") ? "blue" : inside(".lead, .p") ? "muted" : "ink";
    const text = walker.currentNode.data.replace(/\s+/g, " ");
    if (text) runs.push({ text, colour, size, bold: bold && colour !== "muted" });
  }
  return runs;
}

function widthOf(run, text) {
  measuring.font = fontOf(run);
  return measuring.measureText(text).width;
}

// The runs in lines of at most `width` pixels; only a word that is wider than a line is divided.
function linesOf(runs, width) {
  const lines = [[]];
  let filled = 0;
  for (const run of runs) {
    const wordParts = (run.text.match(WORD) ?? []).flatMap((piece) => (widthOf(run, piece) > width ? Array.from(piece) : [piece]));
    for (const piece of wordParts) {
      if (filled && filled + widthOf(run, piece.trimEnd()) > width) { lines.push([]); filled = 0; }
      const line = lines.at(-1), last = line.at(-1);
      if (last?.run === run) last.text += piece;
      else line.push({ ...run, run, text: piece });
      filled += widthOf(run, piece);
    }
  }
  return lines.filter((line) => line.length).map((line) => line.map((part) => ({ ...part, width: widthOf(part, part.text) })));
}

// The lines above and below a figure of `width` pixels.
export function storyLines(width) {
  const size = width < 520 ? 15 : 19, heading = document.querySelector("h1"), evidence = document.querySelector("header .evidence");
  const made = `${$("caption").textContent} ${$("copy-figure").dataset.origin}`.replace(/\s+/g, " ");
  const above = linesOf(runsOf(heading, size, true), width);
  if (evidence) above.push(...linesOf(runsOf(evidence, 13, false), width));
  return { above, below: linesOf([{ text: made, colour: "ink", size: 12, bold: false }], width) };
}

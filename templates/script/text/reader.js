// A text of any length: only the blocks in view are elements, in a box as high as all of them together.
import { $, makeElement } from "../data/page.js";
import { watchSize } from "../data/browser.js";
import { blockElement } from "./spans.js";
import { CHIP, makeBlocks, turnsOf } from "./blocks.js";
import { colourTokens } from "./colours.js";

const LETTER_WIDTH = 7.7;
const READING_LINE = 27;

let turns = [];
let blocks = [];
let heights = new Float64Array(0);
let offsets = new Float64Array(1);
let shown = new Map();
let span = [0, 0];
let box = null;
let frame = null;
let isRendering = false;
// The token that was last scrolled to, which stays in view until the reader scrolls.
let revealed = null;
const renderers = [];

// Call `listener` whenever other blocks are shown, or the same ones elsewhere.
export function afterReading(listener) {
  renderers.push(listener);
}

export const isReading = () => box !== null;

export const readingTurns = () => turns;

function addUp() {
  for (let i = 0; i < blocks.length; i++) offsets[i + 1] = offsets[i] + heights[i];
}

// The last index of `list` whose value is at most `value`.
function lastUpTo(list, value, end) {
  let low = 0, high = end - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (list(middle) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

const blockAt = (pixel) => lastUpTo((i) => offsets[i], pixel, blocks.length);

const blockOf = (position) => lastUpTo((i) => blocks[i].start, position, blocks.length);

function estimate() {
  const letters = Math.max(20, ($("text").clientWidth - 8) / LETTER_WIDTH);
  heights = Float64Array.from(blocks, (block) => Math.max(1, Math.ceil(block.letters / letters)) * READING_LINE);
  offsets = new Float64Array(blocks.length + 1);
  addUp();
}

// Make the elements of the blocks in view and of half as much above and below them, and measure them.
function place() {
  const text = $("text"), view = text.clientHeight, top = text.scrollTop;
  const first = blockAt(Math.max(0, top - view / 2)), last = Math.min(blocks.length - 1, blockAt(top + 1.5 * view));
  const next = new Map();
  for (let i = first; i <= last; i++) next.set(i, shown.get(i) ?? blockElement(blocks[i], turns, CHIP));
  const fresh = [...next].filter(([i]) => !shown.has(i)).map(([, element]) => element);
  shown = next;
  if (fresh.length || span[0] !== first || span[1] !== last + 1) {
    span = [first, last + 1];
    frame.replaceChildren(...next.values());
    for (const element of fresh) colourTokens(element);
  }
  let changed = false;
  for (const [i, element] of next) {
    const height = element.getBoundingClientRect().height;
    if (Math.abs(height - heights[i]) > 0.5) { heights[i] = height; changed = true; }
  }
  return changed;
}

// Show what the scroll position says. The block at the top stays where it is while heights become known.
function render() {
  if (!box || isRendering || !blocks.length) return;
  isRendering = true;
  const text = $("text");
  for (let round = 0; round < 4; round++) {
    const atEnd = text.scrollTop > 0 && text.scrollTop + text.clientHeight >= offsets[blocks.length] - 2;
    const anchor = blockAt(text.scrollTop), within = text.scrollTop - offsets[anchor];
    const changed = place();
    if (changed) addUp();
    box.style.height = `${offsets[blocks.length]}px`;
    frame.style.top = `${offsets[span[0]]}px`;
    if (!changed) break;
    const wanted = atEnd ? offsets[blocks.length] - text.clientHeight : offsets[anchor] + within;
    if (Math.abs(wanted - text.scrollTop) > 0.5) text.scrollTop = wanted;
  }
  isRendering = false;
  for (const listener of renderers) listener();
}

// Scroll so that a token is in view, in the middle where it was not.
export function revealToken(position, always = false) {
  if (!box) return;
  const text = $("text"), find = () => tokenAt(position);
  const isInView = (element) => {
    const own = element.getBoundingClientRect(), all = text.getBoundingClientRect();
    return own.top >= all.top && own.bottom <= all.bottom;
  };
  const there = find();
  if (!always && there && isInView(there)) return;
  for (let round = 0; round < 3; round++) {
    const element = find() ?? chipAt(position) ?? shown.get(blockOf(position));
    if (element) {
      const own = element.getBoundingClientRect(), all = text.getBoundingClientRect();
      text.scrollTop += own.top + own.height / 2 - all.top - all.height / 2;
      const first = offsets[blockAt(text.scrollTop)], by = text.scrollTop - first;
      // A paragraph of which less than a line is cut off begins at the top, if the token stays in view.
      if (by < READING_LINE && element.getBoundingClientRect().bottom + by <= all.bottom) text.scrollTop = first;
    } else text.scrollTop = offsets[blockOf(position)] - text.clientHeight / 3;
    render();
  }
  revealed = position;
}

// The element of a token; that of its closed chip where it is in one; null where it is not shown.
export function tokenAt(position) {
  const text = $("text");
  for (let p = position; p >= Math.max(0, position - 8); p--) {
    const element = text.querySelector(`.t[data-at="${p}"]`);
    if (element) return p + Number(element.dataset.many ?? 1) > position ? element : null;
  }
  return null;
}

// The closed chip that has a token; null where none is shown.
export function chipAt(position) {
  const own = [...$("text").querySelectorAll("details[data-from]")];
  return own.find(({ dataset }) => Number(dataset.from) <= position && position < Number(dataset.to)) ?? null;
}

// The tokens [from, to) of the blocks in view.
export function visibleTokens() {
  const text = $("text"), first = blockAt(text.scrollTop), last = blockAt(text.scrollTop + text.clientHeight - 1);
  return [blocks[first].start, blocks[last].stop];
}

// Replace the passages of the page by the whole text.
export function startReader() {
  turns = turnsOf();
  blocks = makeBlocks(turns);
  const text = $("text");
  box = makeElement("div", "", { className: "all" });
  frame = makeElement("div", "", { className: "frame" });
  box.append(frame);
  shown = new Map();
  text.replaceChildren(box);
  text.dir = "ltr";
  text.classList.add("virtual");
  estimate();
  render();
  text.addEventListener("scroll", render);
  for (const name of ["wheel", "touchmove", "keydown", "pointerdown"]) text.addEventListener(name, () => { revealed = null; });
  let width = text.clientWidth, height = text.clientHeight;
  watchSize(text, () => {
    const hasChanged = text.clientWidth !== width || text.clientHeight !== height;
    if (text.clientWidth !== width) {
      const [from] = visibleTokens();
      width = text.clientWidth;
      estimate();
      text.scrollTop = offsets[blockOf(from)];
    }
    height = text.clientHeight;
    render();
    if (hasChanged && revealed !== null) revealToken(revealed, true);
  });
}

// Colour the blocks that are shown again.
export function recolour() {
  if (frame) colourTokens(frame);
}

// What the page knows of every head, by layer and column: its scores, what it does, and its picture.
import { report } from "../data/page.js";
import { unpack } from "../data/values.js";

export let headTable = null;
let reading = null;

const none = () => NaN;

async function readAll() {
  const { scores, roles, thumbnails } = report;
  const [values, uniform, kinds, wordIndex, pictures] = await Promise.all([scores?.values, scores?.uniform, roles?.kinds, roles?.word, thumbnails].map((packed) => packed && unpack(packed)));
  const [, heads, rows, columns] = pictures?.shape ?? [0, 0, 0, 0], size = rows * columns;
  const hasInk = (at) => { for (let i = 0; i < size; i++) if (pictures.get(at + i)) return true; return false; };
  headTable = {
    score: values ? (s, layer, c) => values.at(s, layer, c) : none,
    uniform: uniform ? (s, layer) => uniform.at(s, layer) : none,
    kind: kinds ? (layer, c) => kinds.at(layer, c) : () => 0,
    word: wordIndex ? (layer, c) => roles.words[wordIndex.at(layer, c)] ?? "" : () => "",
    // The head's picture: its rows and columns, and the byte of each tile; null without one.
    picture: (layer, c) => {
      const at = (layer * heads + c) * size;
      return pictures && hasInk(at) ? { rows, columns, at: (r, k) => pictures.get(at + r * columns + k) } : null;
    },
  };
}

// Read it once, when the first grid is drawn.
export const readHeads = () => (reading ??= readAll());

export const kindName = (layer, c) => report.headKinds[headTable.kind(layer, c)];

// The kinds of heads that attend to a word; report/findings/head_roles.py has the same.
const NAMED_KINDS = ["source", "word", "open", "seen"];

// The label of a head: its word after an arrow, or its kind; "" for neither.
export const roleLabel = (layer, c) => (NAMED_KINDS.includes(kindName(layer, c)) ? `→ ${headTable.word(layer, c)}` : kindName(layer, c));

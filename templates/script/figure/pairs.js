// The tokens of two traces in one cell.
import { data } from "../data/values.js";
import { texts, word } from "../data/texts.js";
import { shorten, textColumns } from "../data/format.js";
import { state } from "../data/state.js";
import { topKey, topToken } from "../data/tokens.js";

// Letters whose room the arrow takes between two tokens.
const ARROW = 2;

// The top token of the lens, or the most attended token, in A and in B; "" where there is none.
export function tokenPair(row, column) {
  if (state.view === "lens") {
    return [0, 1].map((side) => { const best = topToken(row, column, side); return best ? word(best.id) : ""; });
  }
  return [data.topKey, data.topKeyB].map((keys) => { const key = topKey(row, column, keys); return key < 0 ? "" : texts.token(key); });
}

// Both tokens in one cell of `letters` letters, where a short one leaves room to the other. One token
// where both are the same, nothing where a side has none.
export function pairText([a, b], letters) {
  if (!a || !b) return "";
  if (a === b) return shorten(a, letters);
  if (letters < 4 + ARROW) return "≠";
  const room = letters - ARROW, first = Math.min(textColumns(a), Math.max(Math.floor(room / 2), room - textColumns(b)));
  return `${shorten(a, first)}→${shorten(b, room - first)}`;
}

// A over B, for cells that have room for two lines, where one line is too short for both.
export function stackedText([a, b], letters) {
  const both = textColumns(a) + textColumns(b) + ARROW <= letters;
  return !a || !b || a === b || both ? pairText([a, b], letters) : [shorten(a, letters), shorten(b, letters)];
}

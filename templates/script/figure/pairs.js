// The tokens of two traces in one cell.
import { data } from "../data/values.js";
import { texts, word } from "../data/texts.js";
import { shorten } from "../data/format.js";
import { state } from "../data/state.js";
import { topKey, topToken } from "../data/tokens.js";

// The likeliest, or the most attended token of both sides; "" where there is none.
export function tokenPair(row, column) {
  if (state.view === "lens") {
    return [0, 1].map((side) => { const best = topToken(row, column, side); return best ? word(best.id) : ""; });
  }
  return [data.topKey, data.topKeyB].map((keys) => { const key = topKey(row, column, keys); return key < 0 ? "" : texts.token(key); });
}

// Both in a cell of so many letters, what the shorter one leaves of its half is the other's; one
// where they are the same, nothing where a side has none.
export function pairText([a, b], letters) {
  if (!a || !b) return "";
  if (a === b) return shorten(a, letters);
  if (letters < 5) return "≠";
  const room = letters - 1, first = Math.min([...a].length, Math.max(Math.floor(room / 2), room - [...b].length));
  return `${shorten(a, first)}→${shorten(b, room - first)}`;
}

// A over B, where each of the inset's cells has room for two lines and one is too short for both.
export function stackedText([a, b], letters) {
  const both = [...a].length + [...b].length < letters;
  return !a || !b || a === b || both ? pairText([a, b], letters) : [shorten(a, letters), shorten(b, letters)];
}

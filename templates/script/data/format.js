// Numbers and texts as the page writes them, short enough for their place.

export const formatCount = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

// A number and its noun: "1 token", "2 tokens".
export const countOf = (n, noun, plural = `${noun}s`) => `${formatCount(n)} ${n === 1 ? noun : plural}`;

// A share in percent, with a space that does not break.
export const formatPercent = (share) => `${(share * 100).toFixed(1)}\u00a0%`;

// A value with a fixed number of digits and a real minus.
export const formatFixed = (value, digits) => value.toFixed(digits).replace(/^-/, "−");

// A value with its sign and a real minus; without a sign where it is written as zero.
export function formatSigned(value, digits) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}

export const formatSpan = (a, b) => `${formatCount(a)}–${formatCount(b - 1)}`;

export const formatRange = (a, b) => `${a} to ${b - 1}`;

const NARROW = /^[\x20-\u02ff\u2423\u23ce\u2026]*$/;
const NO_COLUMN = /[\u200b-\u200f\u2066-\u2069]|(?!\p{Mc})\p{M}/u;
const TWO_COLUMNS = /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
// Single characters that are drawn as a phrase or as a row of signs; report/text.py has the same.
const VERY_WIDE = { "\ufdfa": 4, "\ufdfb": 4, "\ufdfd": 16, "\u2e3a": 4, "\u2e3b": 5, "\u0bf5": 4, "\u102a": 5, "\ua9c5": 4, "\u{12031}": 6, "\u{12219}": 8, "\u{1242a}": 8, "\u{1242b}": 10 };
const CUNEIFORM = /[\u{12000}-\u{1254f}]/u;

function columnsOf(character) {
  if (NARROW.test(character)) return 1;
  if (NO_COLUMN.test(character)) return 0;
  return VERY_WIDE[character] ?? (TWO_COLUMNS.test(character) ? 2 : CUNEIFORM.test(character) ? 3 : 1);
}

// The columns that a text takes: two of a wide character, none of an accent.
export const textColumns = (text) => (NARROW.test(text) ? text.length : [...text].reduce((sum, character) => sum + columnsOf(character), 0));

// The parts of a text that are drawn as one: a letter with its accents, an emoji.
const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter("en", { granularity: "grapheme" }) : null;
const drawnTogether = (text) => (NARROW.test(text) || !segmenter ? [...text] : Array.from(segmenter.segment(text), ({ segment }) => segment));

// The first parts that fit into some columns.
function startOf(parts, columns) {
  let many = 0, width = 0;
  while (many < parts.length && width + textColumns(parts[many]) <= columns) width += textColumns(parts[many++]);
  return parts.slice(0, many);
}

export function shorten(text, letters) {
  if (textColumns(text) <= letters) return text;
  return `${startOf(drawnTogether(text), Math.max(1, letters - 1)).join("")}…`;
}

const REDACTED = /^‹(?:\d+·)?([\p{L}_]+)·(\d+)›$/u;

// A token as the figure labels it, cut to its room: of a redacted one role and length stay.
export function labelOf(text, letters) {
  const redacted = textColumns(text) > letters ? REDACTED.exec(text) : null;
  if (!redacted) return shorten(text, letters);
  const [, role, length] = redacted, room = letters - length.length - 1;
  return room > 0 ? `${role.slice(0, room)}·${length}` : length;
}

// A text shortened in its middle, so that its start and its end stay; shortened at its end where the room
// is too small for both.
export function shortenMiddle(text, letters) {
  const all = drawnTogether(text), tail = Math.floor((letters - 1) / 3);
  if (tail < 2 || textColumns(text) <= letters) return shorten(text, letters);
  const end = startOf([...all].reverse(), tail).reverse();
  return `${startOf(all, letters - 1 - tail).join("")}…${end.join("")}`;
}

// The smallest of 1, 2, 5, 10, 20, … that is at least `least`.
function roundStep(least) {
  for (let power = 1; ; power *= 10) {
    for (const factor of [1, 2, 5]) if (factor * power >= least) return factor * power;
  }
}

// Labels at round positions, for columns that are too narrow for their tokens.
export function positionLabels(a, b, pixels) {
  const every = roundStep(((b - a) * 90) / pixels), labels = [];
  for (let p = Math.ceil(a / every) * every; p < b; p += every) labels.push({ xc: p + 0.5, text: formatCount(p) });
  return labels;
}

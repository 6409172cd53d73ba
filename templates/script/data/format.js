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

export function shorten(text, letters) {
  const all = [...text];
  return all.length > letters ? all.slice(0, Math.max(1, letters - 1)).join("") + "…" : text;
}

const REDACTED = /^‹(?:\d+·)?([\p{L}_]+)·(\d+)›$/u;

// A token as the figure labels it, cut to its room: of a redacted one role and length stay.
export function labelOf(text, letters) {
  const redacted = text.length > letters ? REDACTED.exec(text) : null;
  if (!redacted) return shorten(text, letters);
  const [, role, length] = redacted, room = letters - length.length - 1;
  return room > 0 ? `${role.slice(0, room)}·${length}` : length;
}

// A text shortened in its middle, so that its start and its end stay; shortened at its end where the room
// is too small for both.
export function shortenMiddle(text, letters) {
  const all = [...text], tail = Math.floor((letters - 1) / 3);
  if (tail < 2 || all.length <= letters) return shorten(text, letters);
  return `${all.slice(0, letters - 1 - tail).join("")}…${all.slice(-tail).join("")}`;
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

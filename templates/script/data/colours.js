// From a value to its colour, as the palette and the scale have it.
import { report } from "./page.js";

function fromHex(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

const STOPS = Object.fromEntries(Object.entries(report.maps).map(([name, stops]) => [name, stops.map(fromHex)]));
export const GREY = fromHex(report.missing);

// The scale of a share; report/scale.py has the same.
export const SHARE = { low: 0, high: 1, unit: "", digits: 1, kind: "sequential", cuts_low: false, cuts_high: false };

// The map of colours that stands for the palette `name` on a scale.
export const mapOf = (scale, name) => scale.maps?.[name] ?? name;

// The place of a value from the dark end of a scale, 0, to the other one, 1.
export function shadeOf(value, scale) {
  const at = fractionOf(value, scale);
  return scale.dark === "high" ? 1 - at : at;
}

// The place of a value between the ends of a scale, from 0 to 1.
export function fractionOf(value, { low, high, kind }) {
  const span = high > low ? high - low : 1;
  const at = kind === "logarithmic" ? Math.log1p(Math.max(0, value - low)) / Math.log1p(span) : (value - low) / span;
  return Math.min(1, Math.max(0, at));
}

function formatValue(value, { digits, kind }) {
  const size = Math.abs(value), number = size < 10000 ? size.toFixed(digits) : `${(size / 1000).toFixed(0)}k`;
  if (Number.parseFloat(number) === 0) return number;
  return (value < 0 ? "−" : kind === "diverging" ? "+" : "") + number;
}

// The legend's labels: both ends of the scale, and its middle.
export function legendTicks(scale) {
  const { low, high, kind, cuts_low: cutsLow, cuts_high: cutsHigh } = scale;
  const middle = kind === "logarithmic" ? low + Math.sqrt(1 + high - low) - 1 : (low + high) / 2;
  const signs = [cutsLow ? "≤ " : "", "", cutsHigh ? "≥ " : ""];
  return [low, middle, high].map((value, i) => ({ y: i / 2, text: signs[i] + formatValue(value, scale) }));
}

export function colourOf(value, scale, name) {
  if (!Number.isFinite(value)) return GREY;
  const stops = STOPS[mapOf(scale, name)];
  const at = shadeOf(value, scale) * (stops.length - 1);
  const left = Math.min(Math.floor(at), stops.length - 2);
  return stops[left].map((low, i) => Math.floor(low * (1 - (at - left)) + stops[left + 1][i] * (at - left) + 0.5));
}

export const toHex = (c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join("");

// The ink that is readable on the colour `c`.
export function inkOn(c) {
  const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? report.inks[0] : report.inks[1];
}

// The legend's colours from the low end of a scale to its high end.
export function legendRows(name, scale = SHARE) {
  const steps = 64, whole = { ...SHARE, maps: scale.maps, dark: scale.dark };
  return Array.from({ length: steps }, (_, i) => ({
    y0: i / steps, y1: Math.min(1, (i + 1.3) / steps), fill: toHex(colourOf((i + 0.5) / steps, whole, name)),
  }));
}

// Value to colour, as the palette has it, and pictures made of colours.
function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

const STOPS = Object.fromEntries(Object.entries(report.maps).map(([name, stops]) => [name, stops.map(rgb)]));
const GREY = rgb(report.missing);

// A share of a whole; see report/scale.py.
const SHARE = { low: 0, high: 1, unit: "", digits: 1, kind: "sequential" };

// Where a value lies between the ends of a scale, 0 to 1.
function placed(value, { low, high, kind }) {
  const span = high > low ? high - low : 1;
  const at = kind === "logarithmic" ? Math.log1p(Math.max(0, value - low)) / Math.log1p(span) : (value - low) / span;
  return Math.min(1, Math.max(0, at));
}

function written(value, { digits, kind }) {
  const size = Math.abs(value), number = size < 10000 ? size.toFixed(digits) : `${(size / 1000).toFixed(0)}k`;
  if (Number.parseFloat(number) === 0) return number;
  return (value < 0 ? "−" : kind === "diverging" ? "+" : "") + number;
}

// What a legend writes where: the ends, and the middle's value.
function ticks(scale) {
  const { low, high, kind } = scale;
  const middle = kind === "logarithmic" ? low + Math.sqrt(1 + high - low) - 1 : (low + high) / 2;
  return [low, middle, high].map((value, i) => ({ y: i / 2, text: written(value, scale) }));
}

function colour(value, scale, name) {
  if (!Number.isFinite(value)) return GREY;
  const stops = STOPS[name];
  const at = placed(value, scale) * (stops.length - 1);
  const left = Math.min(Math.floor(at), stops.length - 2);
  return stops[left].map((low, i) => Math.floor(low * (1 - (at - left)) + stops[left + 1][i] * (at - left) + 0.5));
}

const hex = (c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join("");

function ink(c) {
  const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? report.inks[0] : report.inks[1];
}

// A picture's pixels come from a table of colours: one look-up a cell.
const SHADES = 2048, tables = {};

function table(name) {
  if (!tables[name]) {
    tables[name] = new Uint32Array(SHADES + 1);
    for (let i = 0; i < SHADES; i++) {
      const [r, g, b] = colour(i / (SHADES - 1), SHARE, name);
      tables[name][i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    }
    tables[name][SHADES] = ((255 << 24) | (GREY[2] << 16) | (GREY[1] << 8) | GREY[0]) >>> 0;
  }
  return tables[name];
}

// The canvas of rows × columns values, row 0 on top; `empty` cells are see-through.
function image(rows, columns, at, scale, name, empty = () => false) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  // Kept in memory: a picture is drawn again and again, and never on a graphics card.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(columns, rows), words = new Uint32Array(pixels.data.buffer);
  const shades = table(name);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      if (empty(r, c)) continue;
      const value = at(r, c);
      const shade = Number.isFinite(value) ? Math.round(placed(value, scale) * (SHADES - 1)) : SHADES;
      words[r * columns + c] = shades[shade];
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function cut(text, letters) {
  const all = [...text];
  return all.length > letters ? all.slice(0, Math.max(1, letters - 1)).join("") + "…" : text;
}

// A text cut in its middle, so that its beginning and its end are told; cut at its end where the
// beginning alone tells more.
function ends(text, letters) {
  const all = [...text], tail = Math.floor((letters - 1) / 3);
  if (tail < 2 || all.length <= letters) return cut(text, letters);
  return `${all.slice(0, letters - 1 - tail).join("")}…${all.slice(-tail).join("")}`;
}

// The smallest of 1, 2, 5, 10, 20, … that is no less.
function roundStep(least) {
  for (let power = 1; ; power *= 10) {
    for (const factor of [1, 2, 5]) if (factor * power >= least) return factor * power;
  }
}

const count = (n) => n.toLocaleString("en-US");

// Round positions to write under columns that are too narrow for their tokens.
function numbers(a, b, pixels) {
  const every = roundStep(((b - a) * 90) / pixels), found = [];
  for (let p = Math.ceil(a / every) * every; p < b; p += every) found.push({ xc: p + 0.5, text: count(p) });
  return found;
}

// A plane of rows × positions: single positions where the page has them, tiles of several elsewhere.
import { N, report } from "./page.js";
import { data, details, headDetails } from "./values.js";

export const HOW = { mean: 0, low: 1, high: 2 };

// The mean, least or largest of the values that `read` returns for a to b; NaN where none is there.
export function aggregate(a, b, how, read) {
  let sum = 0, count = 0, low = Infinity, high = -Infinity;
  for (let i = a; i < b; i++) {
    const value = read(i);
    if (value === undefined || value !== value) continue;
    sum += value;
    count++;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return count === 0 ? NaN : how === 1 ? low : how === 2 ? high : sum / count;
}

// A plane from the values of all positions (`full`) or of some (`part`, which `where` finds), and from
// tiles of `step` positions. `derive` computes the plane's values from those of single positions.
export function makePlane({ full, part, where, tiles, step, derive = (row, p, value) => value }) {
  const columns = tiles ? tiles.shape[2] : 0, layers = tiles ? tiles.shape[1] : 0;
  // The value of one position; undefined where the page does not have it.
  function at(row, p) {
    const slot = part ? where.slot(p) : -1;
    if (slot >= 0) return derive(row, p, part.get(row * where.size + slot));
    return full ? derive(row, p, full.get(row * N + p)) : undefined;
  }
  // The tile that stands for a position: {mean, low, high, from, to}.
  function tile(row, p) {
    if (!tiles) return null;
    const t = Math.floor(p / step);
    const read = (how) => (how < tiles.shape[0] ? tiles.get((how * layers + row) * columns + t) : undefined);
    return { mean: read(0), low: read(1), high: read(2), from: t * step, to: Math.min(N, (t + 1) * step) };
  }
  // The mean, least or largest value of the positions from a to b that have one.
  function over(row, a, b, how) {
    const inTiles = tiles && how < tiles.shape[0] && step <= b - a;
    if (!inTiles && b - a === 1) {
      const value = at(row, a);
      return value === undefined ? fromTiles(row, a, b, how) : value;
    }
    const isStored = full || (part && where.slot(a) >= 0 && where.slot(b - 1) - where.slot(a) === b - 1 - a);
    if (inTiles || !isStored) return fromTiles(row, a, b, how);
    return aggregate(a, b, how, (p) => at(row, p));
  }
  function fromTiles(row, a, b, how) {
    if (!tiles) return NaN;
    const kind = how < tiles.shape[0] ? how : 0, base = (kind * layers + row) * columns;
    return aggregate(Math.floor(a / step), Math.ceil(b / step), how, (t) => tiles.get(base + t));
  }
  return { at, tile, over, error: Math.max(full?.error ?? 0, part?.error ?? 0) };
}

export let planes = {};

export function makePlanes() {
  planes = {};
  for (const name of report.views) {
    planes[name] = makePlane({ full: data[`${name}Whole`], part: data[`${name}Part`], where: details, tiles: data[`${name}Tiles`], step: report.steps[name] });
  }
  if (report.views.includes("attention")) {
    planes.heads = makePlane({ part: data.headsPart, where: headDetails, tiles: data.headsTiles, step: report.headStep });
  }
}

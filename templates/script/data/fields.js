// The fields of an address: each with the values that it may have.
import { N, PROMPT, report } from "./page.js";
import { HOW } from "./planes.js";
import { SITES } from "./state.js";

export const LONGEST_SEARCH = 100;

// A field reads its value from a text: `read` returns undefined for a text that is not allowed, and `near` the
// nearest allowed value where there is one. `allowed` says in words which values there are.
const oneOf = (values) => ({ read: (text) => (values.includes(text) ? text : undefined), near: () => undefined, allowed: [...new Set(values)].join(", ") });

const isWhole = (text) => /^-?\d+$/.test(text);

function integerIn(low, end) {
  const last = Math.max(low, end - 1), near = (text) => (isWhole(text) ? Math.max(low, Math.min(last, Number(text))) + 0 : undefined);
  return { read: (text) => (near(text) === Number(text) ? near(text) : undefined), near, allowed: last > low ? `${low} to ${last}` : `${low}` };
}

const isTrue = { read: (text) => (text === "true" || text === "false" ? text === "true" : undefined), near: () => undefined, allowed: "true, false" };

const mapHeads = report.mapHeads || (report.windowPerHead ? report.heads : 0);

export const FIELDS = {
  view: oneOf(report.views), rows: oneOf(report.views.includes("attention") ? ["layers", "heads"] : ["layers"]), layer: integerIn(0, report.layers.length), head: integerIn(-1, report.heads),
  palette: oneOf(["diverging", "cividis"]), a: integerIn(0, N), b: integerIn(1, N + 1), col: integerIn(0, N),
  row: integerIn(0, Math.max(report.layers.length, report.heads)), mapLayer: integerIn(0, report.layers.length),
  mapHead: integerIn(-1, mapHeads), mapWindow: integerIn(0, report.windowCount), values: oneOf(["weight", "entropy"]), how: oneOf(Object.keys(HOW)),
  stat: oneOf(["entropy", ...Object.values(report.statistics).flatMap(Object.keys)]), site: oneOf(SITES.length ? SITES : [""]),
  box: isTrue, dots: isTrue, sinks: isTrue, fit: isTrue,
};

export const REGION_FIELDS = { q0: integerIn(0, PROMPT), q1: integerIn(1, PROMPT + 1), k0: integerIn(0, PROMPT), k1: integerIn(1, PROMPT + 1) };

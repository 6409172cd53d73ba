// The fields of an address: each with the values that it may have.
import { N, PROMPT, report } from "./page.js";
import { HOW } from "./planes.js";
import { SITES } from "./state.js";

export const LONGEST_SEARCH = 100;

// Each field's validator returns the value of a text; undefined for a text that is not allowed, which is
// then ignored.
const oneOf = (values) => (text) => (values.includes(text) ? text : undefined);

const integerIn = (low, end) => (text) => (/^-?\d{1,9}$/.test(text) && Number(text) >= low && Number(text) < end ? Number(text) : undefined);

const isTrue = (text) => (text === "true" || text === "false" ? text === "true" : undefined);

export const FIELDS = {
  view: oneOf(report.views), rows: oneOf(["layers", "heads"]), layer: integerIn(0, report.layers.length), head: integerIn(-1, report.heads),
  palette: oneOf(["diverging", "cividis"]), a: integerIn(0, N), b: integerIn(1, N + 1), col: integerIn(0, N),
  row: integerIn(0, Math.max(report.layers.length, report.heads)), mapLayer: integerIn(0, report.layers.length),
  mapHead: integerIn(-1, Math.max(report.heads, report.mapHeads)), mapWindow: integerIn(0, 99), values: oneOf(["weight", "entropy"]), how: oneOf(Object.keys(HOW)),
  stat: oneOf(["entropy", ...Object.values(report.statistics).flatMap(Object.keys)]), site: oneOf(SITES),
  box: isTrue, dots: isTrue, sinks: isTrue, fit: isTrue,
};

export const REGION_FIELDS = { q0: integerIn(0, PROMPT), q1: integerIn(1, PROMPT + 1), k0: integerIn(0, PROMPT), k1: integerIn(1, PROMPT + 1) };

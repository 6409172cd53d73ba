// A reading: which statistic, of which rows, in which view.
import { state } from "../data/state.js";
import { otherSite, siteShown, statShown } from "../data/statistics.js";
import { rowsShown } from "../data/rows.js";

// The parts of `state` that are a reading.
export const READING_FIELDS = ["view", "rows", "layer", "head", "stat", "site"];

// What a reading is of where its text does not name it.
export const READING_DEFAULTS = { stat: "entropy", site: state.site };

// The reading that is shown: what is chosen and does not exist in this view is no part of it.
export function currentReading() {
  const reading = Object.fromEntries(READING_FIELDS.map((name) => [name, state[name]]));
  return { ...reading, stat: statShown(), site: otherSite() ? siteShown() : READING_DEFAULTS.site };
}

// What `work` finds in another reading than the figure's.
export function withReading(reading, work) {
  const current = { ...state };
  Object.assign(state, reading, { how: "mean" });
  try {
    return work(rowsShown());
  } finally {
    Object.assign(state, current);
  }
}

// What goes unsaid is left out at a reading's end: an address is short.
export function readingText(reading) {
  const parts = READING_FIELDS.map((name) => reading[name]);
  while (reading[READING_FIELDS[parts.length - 1]] === READING_DEFAULTS[READING_FIELDS[parts.length - 1]]) parts.pop();
  return parts.join(".");
}

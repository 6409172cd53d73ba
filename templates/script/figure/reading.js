// A reading: which statistic, of which rows, in which view.
import { state } from "../data/state.js";
import { otherSite, siteShown, statShown } from "../data/statistics.js";
import { rowsShown } from "../data/rows.js";

// The fields of `state` that make a reading.
export const READING_FIELDS = ["view", "rows", "layer", "head", "stat", "site"];

// The values that a reading's text leaves out.
export const READING_DEFAULTS = { stat: "entropy", site: state.site };

// The reading that the figure shows. A choice that this view does not have is replaced by its default.
export function currentReading() {
  const reading = Object.fromEntries(READING_FIELDS.map((name) => [name, state[name]]));
  return { ...reading, stat: statShown(), site: otherSite() ? siteShown() : READING_DEFAULTS.site };
}

// Return the result of `work`, run in `reading` instead of the figure's own.
export function withReading(reading, work) {
  const current = { ...state };
  Object.assign(state, reading, { how: "mean" });
  try {
    return work(rowsShown());
  } finally {
    Object.assign(state, current);
  }
}

// The reading as text. Defaults at its end are left out, because an address must be short.
export function readingText(reading) {
  const parts = READING_FIELDS.map((name) => reading[name]);
  while (reading[READING_FIELDS[parts.length - 1]] === READING_DEFAULTS[READING_FIELDS[parts.length - 1]]) parts.pop();
  return parts.join(".");
}

// The state in the address bar, so that a link shares the view.
import { $, N, PROMPT, report } from "../data/page.js";
import { addressFragment, writeFragment } from "../data/browser.js";
import { state } from "../data/state.js";
import { region } from "../data/region.js";
import { rowsShown } from "../data/rows.js";
import { otherStatistics, statShown } from "../data/statistics.js";
import { FIELDS, LONGEST_SEARCH, REGION_FIELDS } from "../data/fields.js";
import { formatCount } from "../data/format.js";
import { MOST_PINS, pinFrom, pinText } from "./pins.js";
import { quoteAddress, writeFailures } from "./address_note.js";

const LONGEST_ADDRESS = 2000;
const LONGEST_READ = 2 * LONGEST_ADDRESS;
let openingState = null;
let clearedFragment = null;
let notedFragment = null;

export function storeOpening() {
  openingState = { state: { ...state }, region: { ...region } };
}

function setOpening() {
  Object.assign(state, openingState.state, { pins: [] });
  Object.assign(region, openingState.region);
}

// Set the state to what the page opened with, and leave the address empty until it changes.
export function resetState() {
  setOpening();
  clearedFragment = fragmentOfState();
  noteFailures([]);
  writeFragment("");
}

const hasRegion = () => Boolean(report.map || report.mapHeads);

// The address is that of what is shown: of a statistic that the view lacks, the one that stands for it.
function fragmentOfState() {
  const shown = { ...state, stat: statShown() }, parts = Object.keys(FIELDS).map((name) => `${name}=${shown[name]}`);
  if (hasRegion()) parts.push(...Object.keys(REGION_FIELDS).map((name) => `${name}=${region[name]}`));
  if (state.pins.length) parts.push(`pin=${state.pins.map(pinText).join(";")}`);
  const search = state.find ? [`find=${encodeURIComponent(state.find.toWellFormed())}`] : [];
  const longer = [...parts, ...search].join("&");
  return longer.length < LONGEST_ADDRESS ? longer : parts.join("&");
}

export function writeAddress() {
  const fragment = fragmentOfState();
  if (notedFragment !== null && fragment !== notedFragment) noteFailures([]);
  if (fragment === clearedFragment) return;
  clearedFragment = null;
  if (addressFragment() !== fragment) writeFragment(fragment);
}

// Say what of the address is not shown, until the reader changes what is.
function noteFailures(failures) {
  notedFragment = failures.length ? fragmentOfState() : null;
  writeFailures(failures);
}

// Whether a fragment without a "=" names a part of the page, of whose state it says nothing.
function isAnchor(text) {
  try {
    return Boolean($(decodeURIComponent(text)));
  } catch {
    return false;
  }
}

// Set what the address names, each to the nearest value that there is.
function readFields(fields, target, descriptions) {
  for (const [name, { read, near }] of Object.entries(descriptions)) {
    const value = fields.has(name) ? read(fields.get(name)) ?? near(fields.get(name)) : undefined;
    if (value !== undefined) target[name] = value;
  }
}

// Let the fields of the state fit each other. Returns what is possible, in words, of those that depend on others.
function settleFields() {
  const limits = { row: `0 to ${rowsShown().length - 1}`, stat: ["entropy", ...otherStatistics()].join(", ") };
  state.row = Math.min(state.row, rowsShown().length - 1);
  state.stat = statShown();
  for (const [target, first, end, size] of [[state, "a", "b", N], [region, "q0", "q1", PROMPT], [region, "k0", "k1", PROMPT]]) {
    if (target[end] > target[first]) continue;
    limits[end] = `${target[first] + 1} to ${size}`;
    target[end] = target[first] + 1;
  }
  return limits;
}

// What of the named fields is not as the address says.
function failuresOf(fields, target, descriptions, limits) {
  return Object.entries(descriptions).filter(([name, { read }]) => fields.has(name) && read(fields.get(name)) !== target[name])
    .map(([name, { allowed }]) => `${quoteAddress(`${name}=${fields.get(name)}`)} (possible: ${limits[name] ?? allowed}; shown: ${target[name]})`);
}

function readSearch(fields) {
  const find = fields.get("find") ?? "";
  state.find = find.slice(0, LONGEST_SEARCH).toWellFormed();
  return find.length > LONGEST_SEARCH ? [`“find” (possible: ${LONGEST_SEARCH} characters)`] : [];
}

function readPins(fields) {
  const failures = [];
  state.pins = [];
  for (const text of (fields.get("pin") ?? "").split(";").filter(Boolean)) {
    const pin = pinFrom(text);
    if (!pin) failures.push(`${quoteAddress(`pin=${text}`)} (no such cells)`);
    else if (state.pins.some((other) => pinText(other) === pinText(pin))) failures.push(`${quoteAddress(`pin=${text}`)} (given twice)`);
    else if (state.pins.length >= MOST_PINS) failures.push(`${quoteAddress(`pin=${text}`)} (possible: ${MOST_PINS} insets)`);
    else state.pins.push(pin);
  }
  return failures;
}

// Names that are not those of a field, or that are given again with another value.
function nameFailures(fields, names) {
  return [...new Set(fields.keys())].flatMap((name) => {
    if (!names.includes(name)) return [`${quoteAddress(name)} (not a setting of this page)`];
    return new Set(fields.getAll(name)).size > 1 ? [`${quoteAddress(name)} (given more than once; shown: the first)`] : [];
  });
}

function readState(text) {
  const fields = new URLSearchParams(text.slice(0, LONGEST_READ)), regionFields = hasRegion() ? REGION_FIELDS : {};
  setOpening();
  readFields(fields, state, FIELDS);
  readFields(fields, region, regionFields);
  const limits = settleFields();
  return [
    ...failuresOf(fields, state, FIELDS, limits), ...failuresOf(fields, region, regionFields, limits), ...readSearch(fields), ...readPins(fields),
    ...nameFailures(fields, [...Object.keys(FIELDS), ...Object.keys(regionFields), "pin", "find"]),
    ...(text.length > LONGEST_READ ? [`what follows its first ${formatCount(LONGEST_READ)} characters`] : []),
  ];
}

// Set the state from the address: what it does not name is as the page opened, and of what cannot be shown the
// nearest is, and a line says so. False where the address names only a part of the page.
export function readAddress() {
  const text = addressFragment();
  if (text && !text.includes("=")) {
    const isPart = isAnchor(text);
    noteFailures(isPart ? [] : [`${quoteAddress(`#${text}`)} (no such part of this page)`]);
    return !isPart;
  }
  if (text) noteFailures(readState(text));
  else resetState();
  return true;
}

// The state in the address bar, so that a link shares the view.
import { N, PROMPT, report } from "../data/page.js";
import { addressFragment, writeFragment } from "../data/browser.js";
import { state } from "../data/state.js";
import { region } from "../data/region.js";
import { FIELDS, LONGEST_SEARCH, REGION_FIELDS } from "../data/fields.js";
import { MOST_PINS, pinFrom, pinText } from "./pins.js";

const LONGEST_ADDRESS = 2000;
let openingState = null;
let clearedFragment = null;

export function storeOpening() {
  openingState = { state: { ...state }, region: { ...region } };
}

// Set the state to what the page opened with, and leave the address empty until it changes.
export function resetState() {
  Object.assign(state, openingState.state, { pins: [] });
  Object.assign(region, openingState.region);
  clearedFragment = fragmentOfState();
  writeFragment("");
}

function fragmentOfState() {
  const parts = Object.keys(FIELDS).map((name) => `${name}=${state[name]}`);
  if (report.map) parts.push(...Object.keys(REGION_FIELDS).map((name) => `${name}=${region[name]}`));
  if (state.pins.length) parts.push(`pin=${state.pins.map(pinText).join(";")}`);
  const search = state.find ? [`find=${encodeURIComponent(state.find.toWellFormed())}`] : [];
  const longer = [...parts, ...search].join("&");
  return longer.length < LONGEST_ADDRESS ? longer : parts.join("&");
}

export function writeAddress() {
  const fragment = fragmentOfState();
  if (fragment === clearedFragment) return;
  clearedFragment = null;
  if (addressFragment() !== fragment) writeFragment(fragment);
}

// Set the state from the address, and what the address does not name to what the page opened with.
// False where the address names nothing of the state: it may be an anchor of the page.
export function readAddress() {
  const fields = new URLSearchParams(addressFragment().slice(0, 2 * LONGEST_ADDRESS));
  const names = [...Object.keys(FIELDS), ...Object.keys(REGION_FIELDS), "pin", "find"];
  if (!names.some((name) => fields.has(name))) return false;
  const read = (target, validators) => {
    for (const [name, valid] of Object.entries(validators)) {
      const value = fields.has(name) ? valid(fields.get(name)) : undefined;
      if (value !== undefined) target[name] = value;
    }
  };
  Object.assign(state, openingState.state);
  Object.assign(region, openingState.region);
  read(state, FIELDS);
  if (state.b <= state.a) state.b = Math.min(N, state.a + 1);
  read(region, REGION_FIELDS);
  for (const axis of ["q", "k"]) {
    if (region[`${axis}1`] <= region[`${axis}0`]) region[`${axis}1`] = Math.min(PROMPT, region[`${axis}0`] + 1);
  }
  const find = fields.get("find") ?? "";
  state.find = find.length <= LONGEST_SEARCH ? find : "";
  const pins = (fields.get("pin") ?? "").split(";").map(pinFrom).filter(Boolean);
  state.pins = pins.filter((pin, i) => pins.findIndex((other) => pinText(other) === pinText(pin)) === i).slice(0, MOST_PINS);
  return true;
}

// The search field: from match to match.
import { $ } from "../data/page.js";
import { state } from "../data/state.js";
import { moveSection, selectCell } from "../data/section.js";
import { nearestRead } from "../data/read.js";
import { LONGEST_SEARCH } from "../data/fields.js";
import { matches, matchFrom, matchHere, visitMatch } from "./matches.js";
import { drawFigure } from "./figure.js";

// Select the next match after the selected cell, or the one before it; past the last comes the first.
function toMatch(by) {
  const { starts } = matches, many = starts.length;
  if (!many) return;
  const here = matchHere(), next = here >= 0 ? here + 1 : matchFrom(state.col + 1), previous = (here >= 0 ? here : matchFrom(state.col)) - 1;
  const to = ((by > 0 ? next : previous) + many) % many, position = starts[to];
  const half = (state.b - state.a) / 2;
  if (position < state.a || matches.ends[to] > state.b) moveSection(position - half, position + half);
  const shown = nearestRead(position);
  visitMatch(to, shown);
  selectCell(shown);
  drawFigure();
}

export function listenToSearch() {
  const input = $("search");
  input.addEventListener("input", () => {
    state.find = input.value.slice(0, LONGEST_SEARCH);
    drawFigure();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      toMatch(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape") $("figure").focus();
  });
  $("search-previous").addEventListener("click", () => toMatch(-1));
  $("search-next").addEventListener("click", () => toMatch(1));
}

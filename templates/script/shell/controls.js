// The page's controls: what the reader chooses goes into the state, and the charts are drawn again.
import { $, report } from "../data/page.js";
import { SITES, state } from "../data/state.js";
import { rowKind } from "../data/rows.js";
import { statShown } from "../data/statistics.js";
import { nearestRead } from "../data/read.js";
import { selectCell } from "../data/section.js";
import { CHOOSERS, reflect } from "../figure/choosers.js";
import { pinColumn, pinSection, pinWeights } from "../figure/pins.js";
import { readAddress, resetState } from "../figure/address.js";
import { drawFigure } from "../figure/figure.js";
import { listenToMapControls } from "../below/map_moving.js";
import { listenToSpreadControls } from "../below/spread.js";
import { listenToRosterControls } from "../below/roster.js";
import { drawAll } from "./charts.js";

// Select the layer that the reader chooses for the map.
function followMap(name) {
  if (name !== "mapLayer") return;
  if (rowKind() === "layer") state.row = state.mapLayer;
  else state.layer = state.mapLayer;
}

// Listen to the controls of the figure, and to the links of the findings.
export function listenToControls() {
  const bind = (id, name, read) => {
    const element = $(id);
    if (!element) return;
    element.addEventListener("change", () => { state[name] = read(element.value); followMap(name); reflect(); drawAll(); });
  };
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => { state.view = button.dataset.view; reflect(); drawFigure(); });
  }
  for (const [id, name, read] of CHOOSERS) bind(id, name, read);
  for (const name of ["box", "dots", "sinks", "fit"]) {
    $(name)?.addEventListener("change", (event) => { state[name] = event.target.checked; reflect(); drawFigure(); });
  }
  for (const [id, work] of [["pin-column", pinColumn], ["pin-section", pinSection], ["pin-weights", pinWeights]]) {
    $(id)?.addEventListener("click", () => { work(); drawFigure(); });
  }
  $("reset").addEventListener("click", () => { resetState(); reflect(); drawAll(); });
  for (const link of document.querySelectorAll("[data-finding]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const finding = report.observations[Number(link.dataset.finding)];
      if (report.views.includes(finding.view)) state.view = finding.view;
      [state.site = ""] = SITES;
      state.stat = finding.stat;
      state.stat = statShown();
      const head = finding.head === null ? -1 : report.headNames.indexOf(finding.head);
      if (head >= 0) { state.rows = "layers"; state.head = head; }
      if (finding.position !== null) selectCell(nearestRead(finding.position));
      if (finding.layer !== null) state.row = finding.layer;
      reflect();
      drawFigure();
      $("figure").scrollIntoView({ block: "nearest" });
    });
  }
}

// Listen to the controls of the charts below the figure.
export function listenBelow() {
  if (report.map) listenToMapControls();
  if (report.spread) listenToSpreadControls();
  if (report.scores) listenToRosterControls();
}

// Follow a pasted link, or the browser's way back.
export function followAddress() {
  if (!readAddress()) return;
  reflect();
  drawAll();
}

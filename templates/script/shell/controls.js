// The page's controls: what the reader chooses goes into the state, and the charts are drawn again.
import { $, report } from "../data/page.js";
import { state } from "../data/state.js";
import { rowKind } from "../data/rows.js";
import { CHOOSERS, reflect } from "../figure/choosers.js";
import { pinColumn, pinSection, pinWeights } from "../figure/pins.js";
import { readAddress, resetState } from "../figure/address.js";
import { drawFigure } from "../figure/figure.js";
import { listenToMapControls } from "../below/map_moving.js";
import { listenToSpreadControls } from "../below/spread.js";
import { listenToGridControls } from "../grid/grid.js";
import { drawAll } from "./charts.js";
import { listenToFindings } from "./findings.js";

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
  listenToFindings();
}

// Listen to the controls of the charts below the figure.
export function listenBelow() {
  if (report.map) listenToMapControls();
  if (report.spread) listenToSpreadControls();
  listenToGridControls();
}

// Follow a pasted link, or the browser's way back.
export function followAddress() {
  if (!readAddress()) return;
  reflect();
  drawAll();
}

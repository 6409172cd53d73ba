// The choosers above the figure and below it, which always show the state.
import { $, report } from "../data/page.js";
import { state } from "../data/state.js";
import { fittedScale, otherStatistics, siteShown, statShown } from "../data/statistics.js";
import { marksRows } from "../data/readable.js";
import { writeCaption } from "./caption.js";

// Each: the chooser's id, the field of the state that it sets, and how its value is read.
export const CHOOSERS = [
  ["stat", "stat", String], ["site", "site", String], ["rows", "rows", String], ["layer", "layer", Number], ["head", "head", Number], ["palette", "palette", String], ["how", "how", String],
  ["map-layer", "mapLayer", Number], ["map-head", "mapHead", Number], ["map-window", "mapWindow", Number], ["map-values", "values", String], ["search", "find", String],
];

// Set the choosers of statistic and site, and the caption, to what is shown.
function reflectStatistic() {
  const lens = state.view === "lens";
  writeCaption();
  if ($("site-chooser")) $("site-chooser").hidden = !lens;
  if ($("site")) $("site").value = siteShown();
  if (!$("stat")) return;
  $("stat").replaceChildren(...["entropy", ...otherStatistics()].map((name) => {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = name === "entropy" ? "entropy" : report.statistics[state.view][name].label;
    return option;
  }));
  $("stat").value = statShown();
}

// Set all choosers to the state.
export function reflect() {
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  }
  const attention = state.view === "attention";
  if ($("attention-controls")) $("attention-controls").hidden = !attention;
  if ($("layer")) $("layer").disabled = state.rows !== "heads";
  if ($("head")) $("head").disabled = state.rows === "heads";
  for (const [id, name] of CHOOSERS) {
    if ($(id)) $(id).value = String(state[name]);
  }
  for (const name of ["box", "dots", "sinks", "fit"]) {
    if ($(name)) $(name).checked = state[name];
  }
  $("fit-chooser").hidden = !fittedScale();
  if ($("dots")) $("dots").parentElement.hidden = !marksRows();
  reflectStatistic();
}

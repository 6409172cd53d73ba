// The links of the findings: each leads to the cell in which its finding can be seen, and marks it.
import { nearestRead } from "../data/read.js";
import { $, report } from "../data/page.js";
import { SITES, state } from "../data/state.js";
import { statShown } from "../data/statistics.js";
import { selectPosition } from "../data/section.js";
import { reflect } from "../figure/choosers.js";
import { flashCell } from "../figure/crosshair.js";
import { drawAll } from "./charts.js";

// Whether a finding is of a key that many queries attend to, which the map shows and no cell of the figure.
const isOfMap = ({ stat, position }) => stat === "received" && position !== null && Boolean($("section-map") && $("map"));

function readFinding({ view, stat, head }) {
  if (report.views.includes(view)) state.view = view;
  const index = head === null ? -1 : report.headNames.indexOf(head);
  Object.assign(state, { rows: "layers", head: index, site: SITES[0] ?? "", stat });
  state.stat = statShown();
}

function showFinding(finding) {
  readFinding(finding);
  selectPosition(nearestRead(finding.position ?? state.col), finding.layer ?? undefined);
  reflect();
  drawAll();
  if (isOfMap(finding)) {
    $("section-map").scrollIntoView();
    return;
  }
  flashCell(finding.position === null ? "row" : "cell");
  $("figure").scrollIntoView({ block: "nearest" });
}

export function listenToFindings() {
  for (const link of document.querySelectorAll("[data-finding]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      showFinding(report.observations[Number(link.dataset.finding)]);
    });
  }
}

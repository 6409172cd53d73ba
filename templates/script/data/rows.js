// The rows that the figure shows: each is a layer or a head, with its plane.
import { report } from "./page.js";
import { HOW } from "./planes.js";
import { state } from "./state.js";
import { headsShown, otherSite, planeShown, siteWords } from "./statistics.js";

export const headName = (h) => (report.headNames[h] < 0 ? "mean" : `${report.headNames[h]}`);

// Each row has its layer's entry, its head (-1: the mean), and its index in its plane.
export function rowsShown() {
  if (state.view === "attention" && state.rows === "heads") {
    // A layer without attention has one empty row: the figure is never without rows.
    if (!report.headCounts[state.layer]) return [{ entry: state.layer, head: -1, label: "none", plane: planeShown(), at: state.layer }];
    return Array.from({ length: report.headCounts[state.layer] }, (_, h) => ({
      entry: state.layer, head: h, label: headName(h), plane: headsShown(), at: state.layer * report.heads + h,
    }));
  }
  const head = state.view === "attention" ? state.head : -1;
  return report.layers.map((label, entry) => ({
    entry, head, label, plane: head < 0 ? planeShown() : headsShown(), at: head < 0 ? entry : entry * report.heads + head,
  }));
}

export function rowName(row) {
  const head = state.view !== "attention" ? "" : row.head < 0 ? ", mean over heads" : `, head ${headName(row.head)}`;
  const site = otherSite() ? `, ${siteWords()}` : "";
  return `layer ${report.layers[row.entry]}${head}${site}`;
}

export const rowKind = () => (state.view === "attention" && state.rows === "heads" ? "head" : "layer");

// A head that its layer does not have is missing, not zero.
export const inLayer = (row) => row.head < 0 || row.head < report.headCounts[row.entry];

export const entropyOver = (row, a, b) => (inLayer(row) ? row.plane.over(row.at, a, b, HOW[state.how]) : NaN);

export const entropyAt = (row, position) => entropyOver(row, position, position + 1);

// What the reader has chosen, and which rows of which plane that shows.
const small = matchMedia("screen and (max-width: 760px)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const state = {
  view: report.views[0], rows: "layers", layer: 0, head: -1, palette: "diverging", how: "mean", stat: "entropy", site: report.sites[0]?.[0] ?? "",
  a: 0, b: N, col: report.placement.column, row: 0, mapLayer: 0, mapHead: -1, mapWindow: 0, values: "weight",
  find: "", pins: [],
};
const theme = () => report.themes[dark.matches && !matchMedia("print").matches ? "dark" : "light"];

// Each row: its layer's entry, its head (-1: mean), and where it lies in its plane.
function rowsShown() {
  if (state.view === "attention" && state.rows === "heads") {
    return Array.from({ length: report.headCounts[state.layer] }, (_, h) => ({
      entry: state.layer, head: h, label: headName(h), plane: headsShown(), at: state.layer * report.heads + h,
    }));
  }
  const head = state.view === "attention" ? state.head : -1;
  return report.layers.map((label, entry) => ({
    entry, head, label, plane: head < 0 ? planeShown() : headsShown(), at: head < 0 ? entry : entry * report.heads + head,
  }));
}

const headName = (h) => (report.headNames[h] < 0 ? "mean" : `${report.headNames[h]}`);

function rowName(row) {
  const head = state.view !== "attention" ? "" : row.head < 0 ? ", mean over heads" : `, head ${headName(row.head)}`;
  const site = otherSite() ? `, ${siteShown()} output` : "";
  return `layer ${report.layers[row.entry]}${head}${site}`;
}

// A head that its layer does not have is missing, not zero.
const inLayer = (row) => row.head < 0 || row.head < report.headCounts[row.entry];
const entropyOver = (row, a, b) => (inLayer(row) ? row.plane.over(row.at, a, b, HOW[state.how]) : NaN);
const entropyAt = (row, position) => entropyOver(row, position, position + 1);

function moveSection(a, b) {
  const width = Math.max(1, Math.min(N, Math.round(b - a)));
  state.a = Math.max(0, Math.min(N - width, Math.round(a)));
  state.b = state.a + width;
}

// Another width of the section; the position `about` stays where it is on the screen.
function zoomTo(width, about) {
  const share = (about - state.a) / (state.b - state.a), whole = Math.max(1, Math.min(N, width));
  moveSection(about - share * whole, about + (1 - share) * whole);
}

// Closer (by > 0) or further by a fifth, about the selected cell where it is in sight.
function zoom(by) {
  const width = state.b - state.a, inSight = state.col >= state.a && state.col < state.b;
  const other = by > 0 ? Math.min(width - 1, Math.round(width * 0.8)) : Math.max(width + 1, Math.round(width * 1.25));
  zoomTo(other, inSight ? state.col + 0.5 : (state.a + state.b) / 2);
  if (inSight) select(state.col);
}

function select(position, row) {
  state.col = Math.max(0, Math.min(N - 1, position));
  if (row !== undefined) state.row = Math.max(0, Math.min(rowsShown().length - 1, row));
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  if (state.col >= state.b) moveSection(state.col + 1 - (state.b - state.a), state.col + 1);
}

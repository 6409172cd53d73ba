// The reader's choices, and the media that the page depends on.
import { N, report } from "./page.js";
import { watchMedia } from "./browser.js";

export const smallScreen = watchMedia("screen and (max-width: 760px)");
// Where the details pane stands next to the figure; see style/layout.css.
export const dockedDetails = watchMedia("screen and (min-width: 1280px)");
export const onPaper = watchMedia("print");
export const darkMode = watchMedia("(prefers-color-scheme: dark)");

export const SITES = report.sites.map(([name]) => name);

export const state = {
  view: report.views[0], rows: "layers", layer: 0, head: -1, palette: "diverging", how: "mean", stat: "entropy", site: report.sites[0]?.[0] ?? "",
  a: 0, b: N, col: report.placement.column, row: 0, mapLayer: report.mapLayer, mapHead: report.mapHead, mapWindow: 0, values: "weight",
  find: "", pins: [], box: true, dots: true, sinks: false, fit: report.fitted,
};

export const theme = () => report.themes[darkMode.matches && !onPaper.matches ? "dark" : "light"];

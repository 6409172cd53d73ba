// The figure's view and its layout, for the page's width.
import { $, report } from "../data/page.js";
import { noteSize, openChart, pageWidth } from "./chart.js";

const BROAD = 1600;
const FEWEST = 3;

export let figureView = null;
export let layout = null;
let isResized = false;

// The layout of a figure whose section has as many columns as there is room for. A screen that is not
// broad shows no more than the page was laid out for: the heads and the details stand next to it.
function fittingLayout() {
  const size = report.sizes[pageWidth], fit = Math.floor(($("figure").clientWidth - size.rest) / size.column);
  const own = Math.round(size.section / size.column), most = pageWidth === "narrow" || innerWidth >= BROAD ? Infinity : own;
  const columns = Math.max(FEWEST, Math.min(most, fit)), section = columns * size.column;
  return { ...size, section, total: size.left + section, strip: size.strip + section - size.section, columns: Math.max(1, Math.round((size.columns * columns) / own)) };
}

// Lay the figure out for the page's width; false where it is already.
export function fitLayout() {
  const fitting = fittingLayout();
  if (layout && JSON.stringify(fitting) === JSON.stringify(layout)) return false;
  layout = fitting;
  isResized = true;
  return true;
}

// Draw the view's new values, on a canvas of another size where the layout is new.
export function runView() {
  const canvas = $("canvas").querySelector("canvas");
  if (isResized) figureView.resize();
  figureView.run();
  noteSize(canvas, figureView);
  if (isResized) figureView.runAsync().then(() => noteSize(canvas, figureView));
  isResized = false;
}

export async function openView() {
  figureView = await openChart("canvas", "figure");
}

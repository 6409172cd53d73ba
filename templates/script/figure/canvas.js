// The figure's view and its layout, for the page's width.
import { report } from "../data/page.js";
import { openChart, pageWidth } from "./chart.js";

export let figureView = null;
export let layout = null;

export async function openView() {
  layout = report.sizes[pageWidth];
  figureView = await openChart("canvas", "figure");
}

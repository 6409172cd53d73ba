// A Vega chart in the page, and where a pointer is on it.
import { $, report } from "../data/page.js";
import { inflate } from "../data/values.js";
import { smallScreen } from "../data/state.js";

const OPTIONS = { mode: "vega", ast: true, renderer: "canvas", actions: false, defaultStyle: false, tooltip: false, hover: false };
let embedVega = null;

// Vega is given to the script by whoever starts it; no module reads it off the window.
export function useVega(embed) {
  embedVega = embed;
}

export let pageWidth = "wide";

export const fittingWidth = () => (smallScreen.matches ? "narrow" : "wide");

// Take the charts that fit the screen as it is now.
export function fitWidth() {
  pageWidth = fittingWidth();
}

// A chart's corner on its canvas, in the chart's own pixels.
function chartOrigin(chart) {
  const [x, y] = chart.origin(), padding = chart.padding();
  return [x + padding.left, y + padding.top];
}

// The chart of a specification, for the page's width.
export async function openChart(id, name) {
  const specs = report.specs[name], spec = JSON.parse(await (await inflate(specs[pageWidth] || specs.wide)).text());
  const view = (await embedVega($(id), spec, OPTIONS)).view;
  const canvas = $(id).querySelector("canvas");
  canvas.setAttribute("aria-hidden", "true");
  canvas.dataset.width = canvas.width / devicePixelRatio;
  [canvas.dataset.left, canvas.dataset.top] = chartOrigin(view);
  $(id).parentElement.classList.add("drawn");
  return view;
}

// Where a pointer is on a chart, in the chart's pixels, however the canvas is scaled.
export function pointerOn(chart, canvas, event) {
  const box = canvas.getBoundingClientRect(), [left, top] = chartOrigin(chart);
  const scale = canvas.dataset.width ? Number(canvas.dataset.width) / box.width : 1;
  return { x: (event.clientX - box.left) * scale - left, y: (event.clientY - box.top) * scale - top };
}

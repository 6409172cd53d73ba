// A Vega chart in the page, and where a pointer is on it.
import { $, report } from "../data/page.js";
import { inflate } from "../data/values.js";
import { smallScreen } from "../data/state.js";

const OPTIONS = { mode: "vega", ast: true, renderer: "canvas", actions: false, defaultStyle: false, tooltip: false, hover: false };
let embedVega = null;

// The caller that starts the page passes vega-embed in, so that no module needs a global name.
export function useVega(embed) {
  embedVega = embed;
}

// Note the size of a chart's canvas, from which `pointerOn` knows its scale on the screen, and where on
// it the chart begins, which moves with the width of the labels at its left.
export function noteSize(canvas, chart) {
  canvas.dataset.width = canvas.width / devicePixelRatio;
  [canvas.dataset.left, canvas.dataset.top] = chartOrigin(chart);
}

export let pageWidth = "wide";

export const fittingWidth = () => (smallScreen.matches ? "narrow" : "wide");

// Choose the charts for the current width of the screen.
export function fitWidth() {
  pageWidth = fittingWidth();
}

// The chart's top left corner on its canvas, in the chart's own pixels.
function chartOrigin(chart) {
  const [x, y] = chart.origin(), padding = chart.padding();
  return [x + padding.left, y + padding.top];
}

// Draw the chart of a specification, for the page's width, and return its Vega view.
export async function openChart(id, name) {
  const specs = report.specs[name], spec = JSON.parse(await (await inflate(specs[pageWidth] || specs.wide)).text());
  const view = (await embedVega($(id), spec, OPTIONS)).view;
  const canvas = $(id).querySelector("canvas");
  canvas.setAttribute("aria-hidden", "true");
  noteSize(canvas, view);
  return view;
}

// Show a chart that has been painted in the place of its still picture.
export function showLive(id) {
  $(id).parentElement.classList.add("drawn");
}

// Show the still picture of a chart that cannot be painted.
export function showStill(id) {
  $(id).parentElement.classList.remove("drawn");
  $(id).replaceChildren();
}

// The position of the pointer on a chart, in the chart's pixels, also where the canvas is scaled.
export function pointerOn(chart, canvas, event) {
  const box = canvas.getBoundingClientRect(), [left, top] = chartOrigin(chart);
  const scale = canvas.dataset.width ? Number(canvas.dataset.width) / box.width : 1;
  return { x: (event.clientX - box.left) * scale - left, y: (event.clientY - box.top) * scale - top };
}

// The charts below the figure: each starts when it comes into view.
import { $, report } from "../data/page.js";
import { attempt, watchView } from "../data/browser.js";
import { showLive, showStill } from "../figure/chart.js";
import { drawFigure } from "../figure/figure.js";
import { drawWindow, startWindow } from "../below/window.js";
import { drawMap } from "../below/map.js";
import { startMap } from "../below/map_moving.js";
import { drawSpread, startSpread } from "../below/spread.js";
import { GRIDS } from "../grid/grid.js";

// Each: the id of its place, the function that starts it, and the one that draws it again.
const chartsBelow = () => [
  report.specs.window && ["map", startWindow, drawWindow],
  report.specs.map && report.map && ["map", startMap, drawMap],
  report.specs.spread && report.spread && ["spread", startSpread, drawSpread],
  ...GRIDS.filter(([id]) => report.specs[id] && (report.scores || report.thumbnails)),
].filter(Boolean);

const started = new Set();

// Start a chart; where it cannot be painted, its still picture stays.
async function startChart([id, start]) {
  started.add(id);
  try {
    await start();
    showLive(id);
  } catch (error) {
    console.error(error);
    started.delete(id);
    showStill(id);
  }
}

export function startWhenVisible() {
  const places = new Map(chartsBelow().filter(([id]) => $(id)).map((chart) => [$(chart[0]).parentElement, chart]));
  watchView([...places.keys()], "600px", (place) => startChart(places.get(place)));
}

export function drawAll() {
  drawFigure();
  for (const [, , again] of chartsBelow()) attempt(again);
}

// Start the running charts again, because each is made for one width of the page.
export async function restartCharts() {
  for (const chart of chartsBelow()) if (started.has(chart[0])) await startChart(chart);
}

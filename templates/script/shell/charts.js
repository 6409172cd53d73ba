// The charts below the figure: each starts when it comes into view.
import { $, report } from "../data/page.js";
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

export function startWhenVisible() {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      const [id, start] = chartsBelow().find(([name]) => $(name).parentElement === entry.target);
      observer.unobserve(entry.target);
      started.add(id);
      start();
    }
  }, { rootMargin: "600px" });
  for (const [id] of chartsBelow()) observer.observe($(id).parentElement);
}

export function drawAll() {
  drawFigure();
  for (const [, , again] of chartsBelow()) again();
}

// Start the running charts again, because each is made for one width of the page.
export async function restartCharts() {
  for (const [id, start] of chartsBelow()) if (started.has(id)) await start();
}

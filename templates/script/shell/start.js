// The start: the figure first, then what comes later in the page.
import { $, N, report } from "../data/page.js";
import { data, unpackAll } from "../data/values.js";
import { readTexts } from "../data/texts.js";
import { makePlanes } from "../data/planes.js";
import { darkMode, state } from "../data/state.js";
import { prepareStatistic } from "../data/statistics.js";
import { markedLens } from "../data/readable.js";
import { moveSection } from "../data/section.js";
import { readWindows } from "../data/windows.js";
import { region } from "../data/region.js";
import { fittingWidth, fitWidth, pageWidth, useVega } from "../figure/chart.js";
import { fitLayout, layout, openView } from "../figure/canvas.js";
import { announce } from "../figure/announce.js";
import { writeCaption } from "../figure/caption.js";
import { reflect } from "../figure/choosers.js";
import { readAddress, storeOpening, writeAddress } from "../figure/address.js";
import { afterDraw, drawFigure, forgetPictures } from "../figure/figure.js";
import { listenToSearch } from "../figure/search.js";
import { drawCards, forgetCards } from "../figure/cards.js";
import { listenFigure } from "../figure/moving.js";
import { drawWindow } from "../below/window.js";
import { listenToCsvButtons } from "../below/csv.js";
import { listenToHelp } from "./help.js";
import { KEYS, onKey } from "./keys.js";
import { drawAll, restartCharts, startWhenVisible } from "./charts.js";
import { followAddress, listenBelow, listenToControls } from "./controls.js";
import { watchPrinting, watchSections } from "./sections.js";

async function openFigure() {
  fitWidth();
  fitLayout();
  forgetPictures();
  await openView();
  listenFigure($("canvas").querySelector("canvas"));
  drawFigure();
}

async function resize() {
  if (pageWidth !== fittingWidth()) {
    await openFigure();
    await restartCharts();
  } else if (fitLayout()) {
    forgetPictures();
    drawFigure();
  }
}

// The section that opens, as wide as the layout: a third of the columns that it has more are after its end.
function openSection() {
  const { start: from, stop } = report.placement, more = layout.columns - (stop - from);
  if (report.placement.isChosen && more > 0) moveSection(from, stop);
  else {
    const end = Math.min(N, Math.max(layout.columns, stop + Math.round(Math.max(0, more) / 3)));
    moveSection(end - layout.columns, end);
  }
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  if (state.col >= state.b) moveSection(state.col + 1 - layout.columns, state.col + 1);
}

// Most of a long prompt's values come last in the page; read them after the first drawing.
async function readLater() {
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done));
  const { packed, ...facts } = JSON.parse($("later").textContent);
  Object.assign(report, facts);
  Object.assign(data, await unpackAll(packed));
  await readWindows();
  makePlanes();
  forgetCards();
  forgetPictures();
  drawFigure();
}

export async function startPage(vegaEmbed) {
  document.documentElement.classList.add("scripted");
  useVega(vegaEmbed);
  const [packed] = await Promise.all([unpackAll(report.packed), readTexts(), readWindows()]);
  Object.assign(data, packed);
  makePlanes();
  fitWidth();
  fitLayout();
  openSection();
  Object.assign(region, report.region);
  if (report.region) state.mapHead = 0;
  // The selected row is one that the lens can be read at.
  const kinds = markedLens()?.kinds ?? [];
  if (kinds[0] === "unreadable") state.row = Math.max(kinds.indexOf("well"), kinds.indexOf("pale"), 0);
  storeOpening();
  const recalled = location.hash.length > 1;
  readAddress();
  listenToControls();
  listenToSearch();
  listenToHelp(KEYS);
  reflect();
  for (const listener of [drawCards, writeCaption, drawWindow, announce, writeAddress]) afterDraw(listener);
  await prepareStatistic();
  await openFigure();
  document.documentElement.classList.add("live");
  addEventListener("keydown", onKey);
  watchSections();
  if (report.later) await readLater();
  listenBelow();
  listenToCsvButtons();
  watchPrinting(recalled);
  startWhenVisible();
  addEventListener("hashchange", followAddress);
  let resized = Promise.resolve(), waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { resized = resized.then(resize); }, 100);
  });
  for (const changed of [darkMode, matchMedia("print")]) changed.addEventListener("change", drawAll);
  document.documentElement.classList.add("whole");
}

// The start: the figure first, then what comes later in the page.
import { $, N, report } from "../data/page.js";
import { addressFragment, afterFragment, attempt, untilParsed, untilWide } from "../data/browser.js";
import { data, unpackAll } from "../data/values.js";
import { readTexts } from "../data/texts.js";
import { makePlanes } from "../data/planes.js";
import { darkMode, onPaper, state } from "../data/state.js";
import { prepareStatistic } from "../data/statistics.js";
import { moveSection, redrawWith } from "../data/section.js";
import { readWindows } from "../data/windows.js";
import { region } from "../data/region.js";
import { afterHover } from "../data/selection.js";
import { fittingWidth, fitWidth, pageWidth, showLive, useVega } from "../figure/chart.js";
import { fitLayout, layout, openView } from "../figure/canvas.js";
import { announce } from "../figure/announce.js";
import { writeCaption } from "../figure/caption.js";
import { reflect } from "../figure/choosers.js";
import { readAddress, storeOpening, writeAddress } from "../figure/address.js";
import { afterDraw, drawFigure, forgetPictures } from "../figure/figure.js";
import { forgetMatches } from "../figure/matches.js";
import { listenToSearch } from "../figure/search.js";
import { drawCards, forgetCards } from "../figure/cards.js";
import { listenToCopyButtons } from "../figure/copying.js";
import { drawHover } from "../figure/crosshair.js";
import { drawDetails, drawDetailsSoon, openDetails } from "../figure/details.js";
import { listenFigure } from "../figure/moving.js";
import { drawWindow, drawWindowHover } from "../below/window.js";
import { drawMap, drawMapHover } from "../below/map.js";
import { reflectMap } from "../below/map_selection.js";
import { listenToCsvButtons } from "../below/csv.js";
import { listenToTables, markRows } from "../below/selected_rows.js";
import { listenToHelp } from "./help.js";
import { KEYS, onKey } from "./keys.js";
import { noteRefusedPictures } from "./refused.js";
import { drawAll, restartCharts, startWhenVisible } from "./charts.js";
import { followAddress, listenBelow, listenToControls } from "./controls.js";
import { watchPrinting, watchSections } from "./sections.js";
import { drawText, forgetText, noteOpening, startText } from "../text/live.js";

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
  if (!report.later) return;
  await untilParsed();
  const { packed, ...facts } = JSON.parse($("later").textContent);
  Object.assign(report, facts);
  Object.assign(data, await unpackAll(packed));
  await readWindows();
  if (facts.texts) {
    await readTexts();
    forgetMatches();
  }
  makePlanes();
  forgetText();
  forgetCards();
  forgetPictures();
  drawFigure();
}

// Draw the figure that opens. What fails here fails the page, whose still picture stays.
async function startFigure() {
  const [packed] = await Promise.all([unpackAll(report.packed), readTexts(), readWindows()]);
  Object.assign(data, packed);
  makePlanes();
  await untilWide();
  fitWidth();
  fitLayout();
  openSection();
  Object.assign(region, report.region);
  // The selected cell is what the model says last, or of attention one of the layer that the map opens with.
  state.row = state.view === "lens" ? report.layers.length - 1 : report.mapLayer;
  storeOpening();
  noteOpening();
  if (addressFragment()) readAddress();
  redrawWith(drawFigure);
  reflect();
  for (const listener of [drawCards, writeCaption, reflectMap, drawWindow, drawMap, drawDetails, markRows, announce, writeAddress]) afterDraw(listener);
  for (const listener of [drawHover, drawDetailsSoon, drawWindowHover, drawMapHover]) afterHover(listener);
  await prepareStatistic();
  await openFigure();
}

// The one place where the live figure takes the still one's: once it has been painted.
function showFigure() {
  showLive("canvas");
  document.documentElement.classList.add("live");
}

function listenToWindow() {
  let resized = Promise.resolve(), waiting = 0;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { resized = resized.then(() => attempt(resize)); }, 100);
  });
  for (const changed of [darkMode, onPaper]) changed.addEventListener("change", drawAll);
}

export async function startPage(vegaEmbed) {
  const isRecalled = addressFragment().length > 0;
  // A copy of a live page has its marks, and canvases without a picture.
  for (const place of document.querySelectorAll(".drawn")) place.classList.remove("drawn");
  useVega(vegaEmbed);
  await startFigure();
  showFigure();
  for (const listen of [listenToControls, listenToSearch, () => listenToHelp(KEYS), listenToCopyButtons]) await attempt(listen);
  addEventListener("keydown", onKey);
  for (const part of [
    watchSections, readLater, openDetails, startText, () => afterDraw(drawText), listenBelow, listenToCsvButtons, listenToTables,
    () => watchPrinting(isRecalled), startWhenVisible, () => afterFragment(followAddress), listenToWindow, noteRefusedPictures,
  ]) await attempt(part);
  document.documentElement.classList.add("whole");
}

// Reading the map and moving its frame, with the pointer and with keys.
import { $, PROMPT, report } from "../data/page.js";
import { texts } from "../data/texts.js";
import { hover } from "../data/selection.js";
import { formatCount, formatPercent, formatSpan } from "../data/format.js";
import { state } from "../data/state.js";
import { isUnseenKey } from "../data/visible.js";
import { attentionWeight, exactValues } from "../data/windows.js";
import { moveRegion, region } from "../data/region.js";
import { pageWidth, pointerOn } from "../figure/chart.js";
import { whyNotReached } from "../figure/missing.js";
import { hideTip, showTip } from "../figure/tooltip.js";
import { writeAddress } from "../figure/address.js";
import { mapHead, mapValues } from "./map_values.js";
import { selectOnMap } from "./map_selection.js";
import { drawMap, drawMapSoon, mapSide, mapView, openMap } from "./map.js";

// The pointer's query and key on the panel of all tiles, and whether it is inside of that panel.
function onMap(canvas, event) {
  const { x, y } = pointerOn(mapView, canvas, event);
  const inside = x >= -4 && y >= -4 && x <= mapSide + 4 && y <= mapSide + 4;
  const at = (pixels) => Math.max(0, Math.min(PROMPT, (pixels / mapSide) * PROMPT));
  return { inside, key: at(x), query: at(y) };
}

// The pointer's query and key on the region's panel; null outside of it.
function onRegion(canvas, event) {
  const { x, y } = pointerOn(mapView, canvas, event), [left, top] = report.mapSizes[pageWidth].part;
  const sx = (x - left) / mapSide, sy = (y - top) / mapSide;
  if (sx < 0 || sy < 0 || sx >= 1 || sy >= 1) return null;
  return { key: region.k0 + sx * (region.k1 - region.k0), query: region.q0 + sy * (region.q1 - region.q0) };
}

function describeMap(query, key) {
  const { queries, keys } = report.map, head = Math.max(0, state.mapHead);
  const [q, k] = [Math.min(PROMPT - 1, Math.floor(query)), Math.min(PROMPT - 1, Math.floor(key))];
  const name = (p) => `${formatCount(p)}${texts.full(p) ? ` · ${texts.full(p)}` : ""}`;
  const lines = [`layer ${report.layers[state.mapLayer]} · query ${name(q)}`, `key ${name(k)}`];
  const window = exactValues.find((w) => Number.isFinite(attentionWeight(w, state.mapLayer, report.map.heads[head], q, k)));
  if (isUnseenKey(state.mapLayer, q, k)) return [...lines, `not visible: the key comes ${k > q ? "later" : "before the window"}`];
  if (window) lines.push(`exact weight ${attentionWeight(window, state.mapLayer, report.map.heads[head], q, k).toPrecision(2)}`);
  const index = (edges, p) => { let i = 0; while (i < edges.length - 2 && edges[i + 1] <= p) i++; return i; };
  const r = index(queries, q), c = index(keys, k), mass = mapValues.at(state.mapLayer, head, r, c);
  lines.push(Number.isFinite(mass)
    ? `tile of queries ${formatSpan(queries[r], queries[r + 1])}, keys ${formatSpan(keys[c], keys[c + 1])}: ${formatPercent(mass)} of their attention`
    : whyNotReached(q) || "missing");
  return lines;
}

// The point of the map, or of one of its other panels, under the pointer; null outside of them.
function placeOn(canvas, event) {
  const at = onMap(canvas, event);
  return at.inside ? at : onRegion(canvas, event);
}

const wholePosition = (place) => Math.min(PROMPT - 1, Math.floor(place));

// The index of the map's head among those of the figure; −1 for the mean over heads.
const figureHead = () => report.headNames.indexOf(mapHead());

function hoverMap(place, event) {
  if (!place) { leaveTiles(); return; }
  showTip(describeMap(place.query, place.key), event);
  hover({ position: wholePosition(place.query), entry: state.mapLayer, head: figureHead() });
}

function leaveTiles() {
  hideTip();
  hover(null);
}

function listenMap(canvas) {
  let mapDrag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const at = onMap(canvas, event);
    if (!at.inside) return;
    const within = at.key >= region.k0 && at.key < region.k1 && at.query >= region.q0 && at.query < region.q1;
    mapDrag = { from: at, start: { ...region }, move: within };
    leaveTiles();
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = onMap(canvas, event);
    if (mapDrag) {
      const { from, start } = mapDrag;
      if (mapDrag.move) moveRegion(start.q0 + at.query - from.query, start.k0 + at.key - from.key, start.q1 - start.q0, start.k1 - start.k0);
      else moveRegion(Math.min(at.query, from.query), Math.min(at.key, from.key), Math.abs(at.query - from.query), Math.abs(at.key - from.key));
      drawMapSoon();
      return;
    }
    hoverMap(placeOn(canvas, event), event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (mapDrag) writeAddress();
      mapDrag = null;
    });
  }
  canvas.addEventListener("pointerleave", leaveTiles);
  listenMapClicks(canvas);
}

// A click selects a query; a press that moved the frame is none.
function listenMapClicks(canvas) {
  let pressedAt = null;
  canvas.addEventListener("pointerdown", (event) => { pressedAt = event; });
  canvas.addEventListener("click", (event) => {
    const place = placeOn(canvas, event), moved = pressedAt ? Math.hypot(event.clientX - pressedAt.clientX, event.clientY - pressedAt.clientY) : 0;
    if (place && moved < 4) selectOnMap(wholePosition(place.query), figureHead());
  });
}

function onMapKey(event) {
  const queries = region.q1 - region.q0, keys = region.k1 - region.k0;
  const [dq, dk] = [Math.max(1, queries / 10), Math.max(1, keys / 10)];
  const moves = {
    ArrowLeft: () => moveRegion(region.q0, region.k0 - dk, queries, keys), ArrowRight: () => moveRegion(region.q0, region.k0 + dk, queries, keys),
    ArrowUp: () => moveRegion(region.q0 - dq, region.k0, queries, keys), ArrowDown: () => moveRegion(region.q0 + dq, region.k0, queries, keys),
    "+": () => moveRegion(region.q0 + dq, region.k0 + dk, queries - 2 * dq, keys - 2 * dk), "-": () => moveRegion(region.q0 - dq, region.k0 - dk, queries + 2 * dq, keys + 2 * dk),
  };
  if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  moves[event.key]();
  drawMap();
  writeAddress();
}

export async function startMap() {
  await openMap();
  listenMap($("map").querySelector("canvas"));
}

export function listenToMapControls() {
  const chooser = $("map-window");
  exactValues.forEach((window, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = `queries ${formatSpan(window.firstQuery, window.firstQuery + window.queries)}, keys ${formatSpan(window.firstKey, window.firstKey + window.keys)}`;
    chooser.append(option);
  });
  $("window-chooser").hidden = exactValues.length < 2;
  chooser.value = String(state.mapWindow);
  chooser.addEventListener("change", () => {
    const w = exactValues[state.mapWindow], side = Math.max(w.queries, w.keys);
    moveRegion(w.firstQuery - side / 2, w.firstKey - side / 2, w.queries + side, w.keys + side);
    drawMap();
    writeAddress();
  });
  $("map-figure").addEventListener("keydown", onMapKey);
}

// The map of a long prompt: all of it in tiles, the region of its frame, and an exact window.
import { $, PROMPT, report } from "../data/page.js";
import { formatCount, formatSpan, positionLabels } from "../data/format.js";
import { SHARE } from "../data/colours.js";
import { hovered } from "../data/selection.js";
import { paintCells } from "../data/images.js";
import { state, theme } from "../data/state.js";
import { attentionWeight, exactValues } from "../data/windows.js";
import { coversRegion, region } from "../data/region.js";
import { isUnseen, isUnseenKey } from "../data/visible.js";
import { openChart, pageWidth } from "../figure/chart.js";
import { missingAttention } from "../figure/missing.js";
import { writeLater } from "./live_tables.js";
import { writeWindowTable } from "./window_table.js";
import { logFraction, mapHead, mapValues, readMap, received } from "./map_values.js";
import { findReceivedRange, powerOfTen, receivedOver, receivedRange } from "./received.js";
import { writeMapTables, writeReceivedTable } from "./map_tables.js";

export let mapView = null;
export let mapSide = 0;
let mapKey = null;
let exactKey = null;
let mapFrame = 0;

function tilesOfMap() {
  const { queries, keys } = report.map, rows = queries.length - 1, columns = keys.length - 1;
  const share = (r, c) => mapValues.at(state.mapLayer, Math.max(0, state.mapHead), r, c);
  const at = (r, c) => logFraction(share(r, c));
  const empty = (r, c) => !share(r, c) && isUnseen(state.mapLayer, [queries[r], queries[r + 1]], [keys[c], keys[c + 1]]);
  const end = (edges) => edges[0] + (edges[1] - edges[0]) * (edges.length - 1);
  return [{ x0: 0, x1: end(keys), y0: 0, y1: end(queries), image: paintCells(rows, columns, at, SHARE, "weight", empty) }];
}

// The picture of an exact window: of the map's head where the window has it, else of the mean over heads.
function exactPicture(window) {
  const head = report.map.heads[Math.max(0, state.mapHead)];
  const weight = (r, c) => attentionWeight(window, state.mapLayer, head, window.firstQuery + r, window.firstKey + c);
  const at = (r, c) => logFraction(weight(r, c));
  const empty = (r, c) => !weight(r, c) && isUnseenKey(state.mapLayer, window.firstQuery + r, window.firstKey + c);
  return {
    x0: window.firstKey, x1: window.firstKey + window.keys, y0: window.firstQuery, y1: window.firstQuery + window.queries,
    image: paintCells(window.queries, window.keys, at, SHARE, "weight", empty),
  };
}

function drawRegion() {
  const covering = exactValues.find(coversRegion), key = [mapKey, covering ? covering.name : ""].join();
  if (key !== exactKey) mapView.data("exact", covering ? [exactPicture(covering)] : []);
  exactKey = key;
  const kind = covering ? "exact" : `tiles of ${formatCount(report.map.queries[1] - report.map.queries[0])}`;
  mapView.data("parttitle", [{ text: `${pageWidth === "narrow" ? "" : `${kind}: `}queries ${formatSpan(region.q0, region.q1)} × keys ${formatSpan(region.k0, region.k1)}` }]);
  mapView.data("receivedpart", receivedOver(region.k0, region.k1));
  mapView.data("receivedpartkeys", positionLabels(region.k0, region.k1, mapSide));
}

// Set the marks of the selected position and of the hovered one.
function markPositions() {
  mapView.signal("col", state.col).signal("hovercol", hovered?.position ?? -1);
}

export function drawMapHover() {
  if (!mapView) return;
  markPositions();
  mapView.run();
}

export function drawMap() {
  if (!mapView) return;
  const window = exactValues[state.mapWindow];
  const key = [state.mapLayer, state.mapHead, state.mapWindow].join();
  if (key !== mapKey) {
    mapKey = key;
    $("map-missing").textContent = missingAttention(state.mapLayer, report.headNames.indexOf(mapHead()));
    mapView.data("map", tilesOfMap());
    mapView.data("window", window ? [exactPicture(window)] : []);
    if (received) {
      findReceivedRange();
      mapView.data("received", receivedOver(0, PROMPT));
      mapView.data("receivedends", receivedRange.map((y, i) => ({ at: i ? 0.92 : 0.08, text: powerOfTen(y) })));
    }
    mapView.data("windowtitle", window ? [{ text: `exact: queries ${formatSpan(window.firstQuery, window.firstQuery + window.queries)} × keys ${formatSpan(window.firstKey, window.firstKey + window.keys)}` }] : []);
  }
  drawRegion();
  if (window) {
    const { firstQuery: wq0, firstKey: wk0 } = window;
    for (const [name, value] of Object.entries({ wq0, wq1: wq0 + window.queries, wk0, wk1: wk0 + window.keys })) mapView.signal(name, value);
  }
  for (const [name, value] of Object.entries({ ...region, r0: receivedRange[0], r1: receivedRange[1], ...theme() })) mapView.signal(name, value);
  markPositions();
  mapView.run();
  if (window) writeLater("table-window", key, () => writeWindowTable(window, mapHead(), false));
  writeLater("table-map", [state.mapLayer, state.mapHead, ...Object.values(region)].join(), writeMapTables);
  if (received) writeLater("table-received", [state.mapLayer, state.mapHead].join(), writeReceivedTable);
}

export function drawMapSoon() {
  if (!mapFrame) mapFrame = requestAnimationFrame(() => { mapFrame = 0; drawMap(); });
}

export async function openMap() {
  await readMap();
  mapKey = exactKey = null;
  mapView = await openChart("map", "map");
  mapSide = report.mapSizes[pageWidth].side;
  drawMap();
}

// The map of a long prompt: all of it in tiles, the region of its frame, and an exact window.
const LEAST = 1e-4;
let mapView = null, mapValues = null, received = null, mapSide = 0, mapGap = 0, mapKey = null, mapFrame = 0;
const region = { q0: 0, q1: N, k0: 0, k1: N };

const onLog = (p) => 1 + Math.log10(Math.max(p, LEAST)) / -Math.log10(LEAST);
const span = (a, b) => `${count(a)}–${count(b - 1)}`;

function tilesOfMap() {
  const { queries, keys } = report.map, rows = queries.length - 1, columns = keys.length - 1;
  const at = (r, c) => onLog(mapValues.at(state.mapLayer, Math.max(0, state.mapHead), r, c));
  const empty = (r, c) => report.causal && keys[c] >= queries[r + 1];
  const end = (edges) => edges[0] + (edges[1] - edges[0]) * (edges.length - 1);
  return [{ x0: 0, x1: end(keys), y0: 0, y1: end(queries), image: image(rows, columns, at, SHARE, "weight", empty) }];
}

// A window's picture: the head of the map where the window holds it, else the mean over heads.
function exactPicture(window) {
  const head = report.map.heads[Math.max(0, state.mapHead)];
  const at = (r, c) => onLog(weight(window, state.mapLayer, head, window.firstQuery + r, window.firstKey + c));
  const later = (r, c) => report.causal && window.firstKey + c > window.firstQuery + r;
  return {
    x0: window.firstKey, x1: window.firstKey + window.keys, y0: window.firstQuery, y1: window.firstQuery + window.queries,
    image: image(window.queries, window.keys, at, SHARE, "weight", later),
  };
}

const covers = (w) => region.q0 >= w.firstQuery && region.q1 <= w.firstQuery + w.queries && region.k0 >= w.firstKey && region.k1 <= w.firstKey + w.keys;

// Means of what the keys from a to b receive, no more than one a pixel.
function receivedOver(a, b) {
  if (!received) return [];
  const { every, heads } = report.received, head = Math.max(0, heads.indexOf(report.map.heads[Math.max(0, state.mapHead)]));
  const columns = received.shape[2], first = Math.floor(a / every), last = Math.min(columns, Math.ceil(b / every));
  const bin = Math.max(1, Math.ceil((last - first) / 512)), points = [];
  for (let t = first; t < last; t += bin) {
    const y = gather(t, Math.min(last, t + bin), 0, (i) => received.at(state.mapLayer, head, i));
    if (Number.isFinite(y)) points.push({ x: t * every, y: Math.max(receivedRange[0], y) });
  }
  if (points.length) points.push({ x: last * every, y: points[points.length - 1].y });
  return points;
}

// A power of ten as it is written.
const power = (y) => `10${[...String(Math.round(Math.log10(y)))].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`;

let receivedRange = [0.1, 1];

// Powers of ten around what this layer's keys receive, no more than six of them.
function findReceivedRange() {
  const there = [];
  for (let i = 0; i < received.shape[2]; i++) there.push(received.at(state.mapLayer, 0, i));
  const positive = there.filter((y) => y > 0);
  if (!positive.length) return [0.1, 1];
  const high = 10 ** Math.ceil(Math.log10(positive.reduce((a, b) => Math.max(a, b)))), low = 10 ** Math.floor(Math.log10(positive.reduce((a, b) => Math.min(a, b))));
  return [Math.max(low, high / 1e6), Math.max(high, low * 10)];
}

function drawMap() {
  if (!mapView) return;
  const window = exactValues[state.mapWindow];
  const key = [state.mapLayer, state.mapHead, state.mapWindow].join();
  if (key !== mapKey) {
    mapKey = key;
    mapView.data("map", tilesOfMap());
    mapView.data("window", window ? [exactPicture(window)] : []);
    if (received) {
      receivedRange = findReceivedRange();
      mapView.data("received", receivedOver(0, N));
      mapView.data("receivedends", receivedRange.map((y, i) => ({ at: i ? 0.92 : 0.08, text: power(y) })));
    }
    mapView.data("windowtitle", window ? [{ text: `exact: queries ${span(window.firstQuery, window.firstQuery + window.queries)} × keys ${span(window.firstKey, window.firstKey + window.keys)}` }] : []);
  }
  drawRegion(window);
  if (window) {
    const { firstQuery: wq0, firstKey: wk0 } = window;
    for (const [name, value] of Object.entries({ wq0, wq1: wq0 + window.queries, wk0, wk1: wk0 + window.keys })) mapView.signal(name, value);
  }
  for (const [name, value] of Object.entries({ ...region, r0: receivedRange[0], r1: receivedRange[1], ...theme() })) mapView.signal(name, value);
  mapView.run();
  soonTwins();
}

let exactKey = null;

function drawRegion() {
  const covering = exactValues.find(covers), key = [mapKey, covering ? covering.name : ""].join();
  if (key !== exactKey) mapView.data("exact", covering ? [exactPicture(covering)] : []);
  exactKey = key;
  const kind = covering ? "exact" : `tiles of ${count(report.map.queries[1] - report.map.queries[0])}`;
  mapView.data("parttitle", [{ text: `${width === "narrow" ? "" : `${kind}: `}queries ${span(region.q0, region.q1)} × keys ${span(region.k0, region.k1)}` }]);
  mapView.data("receivedpart", receivedOver(region.k0, region.k1));
  mapView.data("receivedpartkeys", numbers(region.k0, region.k1, mapSide));
}

function moveRegion(q0, k0, queries, keys) {
  const fit = (from, width) => {
    const whole = Math.max(1, Math.min(N, Math.round(width)));
    const start = Math.max(0, Math.min(N - whole, Math.round(from)));
    return [start, start + whole];
  };
  [region.q0, region.q1] = fit(q0, queries);
  [region.k0, region.k1] = fit(k0, keys);
}

function soonMap() {
  if (!mapFrame) mapFrame = requestAnimationFrame(() => { mapFrame = 0; drawMap(); });
}

// Where on the map a pointer is, in positions; null outside of the panel of all tiles.
function onMap(canvas, event) {
  const { x, y } = pointer(mapView, canvas, event);
  const inside = x >= -4 && y >= -4 && x <= mapSide + 4 && y <= mapSide + 4;
  const at = (pixels) => Math.max(0, Math.min(N, (pixels / mapSide) * N));
  return { inside, key: at(x), query: at(y) };
}

// The same in the region's panel.
function onRegion(canvas, event) {
  const { x, y } = pointer(mapView, canvas, event), [left, top] = report.mapSizes[width].part;
  const sx = (x - left) / mapSide, sy = (y - top) / mapSide;
  if (sx < 0 || sy < 0 || sx >= 1 || sy >= 1) return null;
  return { key: region.k0 + sx * (region.k1 - region.k0), query: region.q0 + sy * (region.q1 - region.q0) };
}

function describeMap(query, key) {
  const { queries, keys } = report.map, head = Math.max(0, state.mapHead);
  const [q, k] = [Math.min(N - 1, Math.floor(query)), Math.min(N - 1, Math.floor(key))];
  const name = (p) => `${count(p)}${texts.full(p) ? ` · ${texts.full(p)}` : ""}`;
  const lines = [`layer ${report.layers[state.mapLayer]} · query ${name(q)}`, `key ${name(k)}`];
  const window = exactValues.find((w) => Number.isFinite(weight(w, state.mapLayer, report.map.heads[head], q, k)));
  if (report.causal && k > q) return [...lines, "not visible: the key comes later"];
  if (window) lines.push(`exact weight ${weight(window, state.mapLayer, report.map.heads[head], q, k).toPrecision(2)}`);
  const index = (edges, p) => { let i = 0; while (i < edges.length - 2 && edges[i + 1] <= p) i++; return i; };
  const r = index(queries, q), c = index(keys, k), mass = mapValues.at(state.mapLayer, head, r, c);
  lines.push(Number.isFinite(mass)
    ? `tile of queries ${span(queries[r], queries[r + 1])}, keys ${span(keys[c], keys[c + 1])}: ${mass.toPrecision(2)} of their attention`
    : notReached(q) || "missing");
  return lines;
}

function listenMap(canvas) {
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const at = onMap(canvas, event);
    if (!at.inside) return;
    const within = at.key >= region.k0 && at.key < region.k1 && at.query >= region.q0 && at.query < region.q1;
    drag = { from: at, start: { ...region }, move: within };
    silence();
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = onMap(canvas, event);
    if (drag) {
      const { from, start } = drag;
      if (drag.move) moveRegion(start.q0 + at.query - from.query, start.k0 + at.key - from.key, start.q1 - start.q0, start.k1 - start.k0);
      else moveRegion(Math.min(at.query, from.query), Math.min(at.key, from.key), Math.abs(at.query - from.query), Math.abs(at.key - from.key));
      soonMap();
      return;
    }
    const place = at.inside ? at : onRegion(canvas, event);
    if (place) say(describeMap(place.query, place.key), event);
    else silence();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (drag) remember();
      drag = null;
    });
  }
  canvas.addEventListener("pointerleave", silence);
}

function mapKeys(event) {
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
  remember();
}

async function startMap() {
  mapValues ??= await unpack(report.map);
  if (report.received) received ??= await unpack(report.received);
  mapKey = exactKey = null;
  mapView = await chart("map", "map");
  const canvas = $("map").querySelector("canvas");
  mapSide = report.mapSizes[width].side;
  listenMap(canvas);
  drawMap();
}

function mapControls() {
  const chooser = $("map-window");
  exactValues.forEach((window, i) => {
    const option = document.createElement("option");
    option.value = i;
    option.textContent = `queries ${span(window.firstQuery, window.firstQuery + window.queries)}, keys ${span(window.firstKey, window.firstKey + window.keys)}`;
    chooser.append(option);
  });
  $("window-chooser").hidden = exactValues.length < 2;
  chooser.value = String(state.mapWindow);
  chooser.addEventListener("change", () => {
    const w = exactValues[state.mapWindow], side = Math.max(w.queries, w.keys);
    moveRegion(w.firstQuery - side / 2, w.firstKey - side / 2, w.queries + side, w.keys + side);
    drawMap();
    remember();
  });
  $("map-figure").addEventListener("keydown", mapKeys);
}

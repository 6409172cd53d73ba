// What moves on the page: the packed values become the datasets of the figure, nothing else.
const report = JSON.parse(document.getElementById("report").textContent);
const $ = (id) => document.getElementById(id);
const N = report.tokens.length;
const MISSING = -1;

async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed.data), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const raw = await new Response(stream).arrayBuffer();
  let values;
  if (packed.type === "int32") values = new Int32Array(raw);
  else if (packed.type === "float32") values = new Float32Array(raw);
  else {
    const levels = new Uint16Array(raw);
    values = Float32Array.from(levels, (l) => (l === 65535 ? NaN : packed.low + l * packed.step));
  }
  const strides = packed.shape.map((_, d) => packed.shape.slice(d + 1).reduce((a, b) => a * b, 1));
  const at = (...index) => values[index.reduce((sum, i, d) => sum + i * strides[d], 0)];
  return { values, shape: packed.shape, at };
}

function rgb(hex) {
  return [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
}

function colour(value, high, name) {
  if (!Number.isFinite(value)) return rgb(report.missing);
  const stops = report.maps[name].map(rgb);
  const at = Math.min(1, Math.max(0, value / (high || 1))) * (stops.length - 1);
  const left = Math.min(Math.floor(at), stops.length - 2);
  return stops[left].map((low, i) => Math.floor(low * (1 - (at - left)) + stops[left + 1][i] * (at - left) + 0.5));
}

const hex = (c) => "#" + c.map((v) => v.toString(16).padStart(2, "0")).join("");

function ink(c) {
  const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? report.inks[0] : report.inks[1];
}

function image(rows, columns, at, high, name, blank = 255) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const value = at(r, c);
      pixels.data.set([...colour(value, high, name), Number.isFinite(value) ? 255 : blank], 4 * (r * columns + c));
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/png");
}

function cut(text, letters) {
  const all = [...text];
  return all.length > letters ? all.slice(0, Math.max(1, letters - 1)).join("") + "…" : text;
}

const small = matchMedia("(max-width: 760px)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const state = {
  view: report.views[0], rows: "layers", layer: 0, head: -1, palette: "diverging",
  a: 0, b: N, col: report.placement.column, row: 0, mapLayer: 0, mapHead: -1, values: "weight",
};
let data = {}, view = null, size = null, mapView = null, shown = null;

// ---- what the current choice shows -------------------------------------------------------------

function rowsShown() {
  const inHeads = state.view === "attention" && state.rows === "heads";
  return inHeads
    ? Array.from({ length: report.headCounts[state.layer] }, (_, h) => ({ entry: state.layer, head: h, label: `${h}` }))
    : report.layers.map((label, entry) => ({ entry, head: state.head, label }));
}

function entropyAt(row, position) {
  if (state.view === "lens") return data.lensEntropy.at(row.entry, position);
  if (row.head >= 0) return data.entropy.at(row.entry, row.head, position);
  let sum = 0, count = 0;
  for (let h = 0; h < report.headCounts[row.entry]; h++) {
    const value = data.entropy.at(row.entry, h, position);
    if (Number.isFinite(value)) { sum += value; count++; }
  }
  return count ? sum / count : NaN;
}

// The key that most heads attend to most, or that of the one head; MISSING where there is none.
function topKey(row, position) {
  if (!data.topKey) return MISSING;
  if (row.head >= 0) return data.topKey.at(row.entry, row.head, position);
  const votes = new Map();
  for (let h = 0; h < report.headCounts[row.entry]; h++) {
    const key = data.topKey.at(row.entry, h, position);
    if (key >= 0) votes.set(key, (votes.get(key) || 0) + 1);
  }
  let best = MISSING;
  for (const [key, count] of votes) {
    if (best === MISSING || count > votes.get(best) || (count === votes.get(best) && key < best)) best = key;
  }
  return best;
}

function cellText(row, position) {
  if (state.view === "lens") {
    const id = data.topIds.at(row.entry, position, 0);
    return id < 0 ? "" : report.vocabulary[id];
  }
  const key = topKey(row, position);
  return key < 0 ? "" : report.tokens[key];
}

const highest = () => (state.view === "lens" ? report.high.lens : report.high.attention);

function weight(entry, head, query, key) {
  const q = query - report.window.first, k = key - report.window.first;
  if (q < 0 || k < 0 || q >= report.window.size || k >= report.window.size) return NaN;
  const given = head < 0 && !report.window.perHead ? 0 : head;
  if (given >= 0) return data.window.at(entry, given, q, k);
  let sum = 0;
  for (let h = 0; h < report.headCounts[entry]; h++) sum += data.window.at(entry, h, q, k);
  return sum / (report.headCounts[entry] || 1);
}

function share(entry, head, query, key) {
  const one = (p) => (p > 0 ? -p * Math.log(p) : p === 0 ? 0 : NaN);
  if (head >= 0) return one(weight(entry, head, query, key));
  if (!report.window.perHead) return data.windowShare.at(entry, 0, query - report.window.first, key - report.window.first);
  let sum = 0;
  for (let h = 0; h < report.headCounts[entry]; h++) sum += one(weight(entry, h, query, key));
  return sum / (report.headCounts[entry] || 1);
}

function cell(x, y, text, c) {
  return { x0: x, x1: x + 1, xc: x + 0.5, y0: y, y1: y + 1, yc: y + 0.5, text, fill: hex(c), tint: ink(c) };
}

function sectionCells(rows, letters) {
  const cells = [], high = highest();
  const withText = (state.b - state.a) * rows.length <= report.liveCells;
  if (!withText) return cells;
  for (let p = state.a; p < state.b; p++) {
    rows.forEach((row, r) => {
      cells.push(cell(p, r, letters < 2 ? "" : cut(cellText(row, p), letters), colour(entropyAt(row, p), high, state.palette)));
    });
  }
  return cells;
}

// The lens's likeliest token with its probability, or the most attended one.
function insetText(row) {
  const text = cut(cellText(row, state.col), size.insetLetters);
  if (state.view !== "lens" || !text || size.insetLetters < 10) return text;
  return `${text}  ${Math.exp(data.topLogprobs.at(row.entry, state.col, 0)).toFixed(2)}`;
}

// Lens: the column magnified. Attention: weights of a few queries over the keys they attend to most.
function inset(rows) {
  if (state.view === "lens" || !data.window) {
    const cells = rows.map((row, r) => {
      return cell(0, r, insetText(row), colour(entropyAt(row, state.col), highest(), state.palette));
    });
    return { cells, width: 1, height: rows.length, rowLabels: [], columns: [{ xc: 0.5, text: cut(report.tokens[state.col], 16) }] };
  }
  const row = rows[Math.min(state.row, rows.length - 1)];
  const queries = [state.col - 2, state.col - 1, state.col].filter((q) => q >= report.window.first);
  const keys = Array.from({ length: state.col + 1 - report.window.first }, (_, i) => i + report.window.first)
    .sort((i, j) => weight(row.entry, row.head, state.col, j) - weight(row.entry, row.head, state.col, i) || i - j)
    .slice(0, 6).sort((i, j) => j - i);
  const cells = [];
  queries.forEach((q, x) => keys.forEach((k, y) => {
    const p = weight(row.entry, row.head, q, k);
    cells.push(cell(x, y, Number.isFinite(p) ? p.toFixed(2) : "", colour(p, 1, "weight")));
  }));
  return {
    cells, width: queries.length, height: keys.length,
    rowLabels: keys.map((k, y) => ({ yc: y + 0.5, text: cut(report.tokens[k], 7) })),
    columns: queries.map((q, x) => ({ xc: x + 0.5, text: cut(report.tokens[q], 6) })),
  };
}

function caption() {
  return state.view === "lens" ? report.placement.caption : "“Dummy tokens”: the chat template after the question";
}

// ---- drawing -----------------------------------------------------------------------------------

let tileKey = null;

function draw() {
  if (!view) return;
  const rows = rowsShown(), high = highest();
  const key = [state.view, state.rows, state.layer, state.head, state.palette].join();
  if (key !== tileKey) {
    tileKey = key;
    const url = image(rows.length, N, (r, c) => entropyAt(rows[rows.length - 1 - r], c), high, state.palette);
    view.data("tile", [{ x0: 0, x1: N, y0: 0, y1: rows.length, url }]);
    const steps = 64;
    view.data("legend", Array.from({ length: steps }, (_, i) => ({
      y0: i / steps, y1: Math.min(1, (i + 1.3) / steps), fill: hex(colour(((i + 0.5) / steps) * high, high, state.palette)),
    })));
    view.data("ticks", [0, 0.5, 1].map((y) => ({ y, text: (y * high).toFixed(1) })));
    const every = Math.max(1, Math.round(rows.length / 24));
    view.data("rows", rows.map((row, r) => ({ yc: r + 0.5, text: row.label })).filter((_, r) => r % every === 0));
    view.data("rowtitle", [{ text: state.view === "attention" && state.rows === "heads" ? `head of layer ${report.layers[state.layer]}` : "layer" }]);
    view.data("overviewlabels", [{ y: 0.06, text: rows[0].label }, { y: 0.94, text: rows[rows.length - 1].label }]);
  }
  const letters = Math.floor(size.section / (state.b - state.a) / 7.2);
  view.data("cells", sectionCells(rows, letters));
  const columns = [];
  for (let p = state.a; p < state.b && letters >= 2; p++) columns.push({ xc: p + 0.5, text: cut(report.tokens[p], letters) });
  view.data("columns", columns);
  const box = inset(rows);
  view.data("inset", box.cells).data("insetrows", box.rowLabels).data("insetcolumns", box.columns);
  view.data("insettitle", [{ text: state.view === "lens" || !data.window ? `position ${state.col}` : `weights, layer ${report.layers[rows[Math.min(state.row, rows.length - 1)].entry]}` }]);
  view.data("caption", [{ text: caption() }]);
  const pixels = size.height / rows.length, insetPixels = size.height / box.height;
  const signals = {
    rowcount: rows.length, a: state.a, b: state.b, col: state.col, insetwidth: box.width, insetheight: box.height,
    cellfont: pixels < 8 ? 0 : Math.min(12, pixels * 0.7), insetfont: insetPixels < 8 ? 0 : Math.min(state.view === "lens" ? 15 : 12, insetPixels * 0.75),
    ...theme(),
  };
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  view.run();
  drawMap();
  speak();
  remember();
}

const theme = () => report.themes[dark.matches && !matchMedia("print").matches ? "dark" : "light"];

function rowName(row) {
  const head = state.view !== "attention" ? "" : row.head < 0 ? ", mean over heads" : `, head ${row.head}`;
  return `layer ${report.layers[row.entry]}${head}`;
}

let mapKey = null;

function drawMap() {
  if (!mapView) return;
  const { first, size: n } = report.window;
  const key = [state.mapLayer, state.mapHead, state.values].join(), shares = state.values === "entropy";
  if (key !== mapKey) {
    mapKey = key;
    const value = shares ? share : weight;
    const at = (r, c) => (c > r && report.window.causal ? NaN : value(state.mapLayer, state.mapHead, first + r, first + c));
    let high = 1;
    if (shares) {
      high = 0;
      for (let r = 0; r < n; r++) for (let c = 0; c <= r; c++) high = Math.max(high, at(r, c) || 0);
    }
    mapView.data("map", [{ x0: 0, x1: n, y0: 0, y1: n, url: image(n, n, at, high, "weight", 0) }]);
    $("map-scale").textContent = shares
      ? `White 0 to dark ${high.toFixed(2)} nats added to the row's entropy; empty: not visible.`
      : "White 0 to dark 1: attention weight; empty: not visible.";
  }
  for (const [name, value] of Object.entries({ col: state.col, ...theme() })) mapView.signal(name, value);
  mapView.run();
}

// ---- reading a cell ----------------------------------------------------------------------------

const nats = (value) => (Number.isFinite(value) ? `${value.toFixed(3)} nats` : "missing");

// Why the lens has no value: a whole column or a whole row without any was left out.
function unread(entry, position) {
  const { values, shape: [layers, n], at } = data.lensEntropy;
  const column = Array.from({ length: layers }, (_, r) => at(r, position));
  if (!column.some(Number.isFinite)) return "the lens did not read this position";
  return values.subarray(entry * n, entry * n + n).some(Number.isFinite) ? "not read" : "the lens did not read this layer";
}

function describe(row, position) {
  const lines = [`${rowName(row)} · position ${position} · ${report.full[position]} (${report.roles[position]})`];
  const value = entropyAt(row, position);
  if (state.view === "lens") {
    lines.push(`lens entropy ${nats(value)}`);
    if (!Number.isFinite(value)) return [...lines, unread(row.entry, position)];
    if (data.lensKl) lines.push(`divergence from the last layer ${nats(data.lensKl.at(row.entry, position))}`);
    if (data.lensRank) lines.push(`rank ${data.lensRank.at(row.entry, position)} of ${report.vocabularyFull[data.targets.at(position)]}, which the model predicts here`);
    for (let k = 0; k < data.topIds.shape[2]; k++) {
      const p = Math.exp(data.topLogprobs.at(row.entry, position, k));
      lines.push(`${(p * 100).toFixed(1)} %  ${report.vocabularyFull[data.topIds.at(row.entry, position, k)]}`);
    }
    return lines;
  }
  const visible = data.visible.at(row.entry, position);
  lines.push(`attention entropy ${nats(value)}, ${visible} visible keys (ln = ${visible ? Math.log(visible).toFixed(3) : "–"})`);
  if (!Number.isFinite(value)) return [...lines, report.notes[row.entry] || "no key is visible here"];
  const key = topKey(row, position);
  if (key >= 0) lines.push(`${row.head < 0 ? "most heads attend most to" : "attends most to"} ${report.full[key]} (position ${key})`);
  if (row.head >= 0 && data.maxProb) lines.push(`largest weight ${data.maxProb.at(row.entry, row.head, position).toFixed(3)}`);
  return lines;
}

function say(lines, event) {
  const tip = $("tip");
  tip.replaceChildren(...lines.map((line) => {
    const row = document.createElement("div");
    row.textContent = line;
    return row;
  }));
  tip.hidden = false;
  const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const y = event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16;
  tip.style.left = `${Math.max(4, x)}px`;
  tip.style.top = `${y}px`;
}

function speak() {
  const rows = rowsShown();
  $("live").textContent = describe(rows[Math.min(state.row, rows.length - 1)], state.col).join("; ");
}

// ---- moving ------------------------------------------------------------------------------------

function moveSection(a, b) {
  const width = Math.max(1, Math.min(N, Math.round(b - a)));
  state.a = Math.max(0, Math.min(N - width, Math.round(a)));
  state.b = state.a + width;
}

function select(position, row) {
  state.col = Math.max(0, Math.min(N - 1, position));
  if (row !== undefined) state.row = Math.max(0, Math.min(rowsShown().length - 1, row));
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  if (state.col >= state.b) moveSection(state.col + 1 - (state.b - state.a), state.col + 1);
}

// The overview's corner on the canvas, in pixels.
function origin() {
  const [x, y] = view.origin(), padding = view.padding();
  return [x + padding.left, y + padding.top];
}

// Where in the figure a pointer is: {part, x, y} with x in positions and y in rows.
function locate(event) {
  const canvas = $("figure").querySelector("canvas");
  const frame = canvas.getBoundingClientRect();
  const [left, top] = origin();
  const x = event.clientX - frame.left - left, y = event.clientY - frame.top - top;
  if (y >= -8 && y <= size.overview + 8 && x >= -6 && x <= size.total + 6) {
    return { part: "overview", x: (x / size.total) * N, y: (1 - y / size.overview) * rowsShown().length };
  }
  const sy = y - size.overview - size.above, sx = x - size.left;
  if (sy >= 0 && sy < size.height && sx >= 0 && sx < size.section) {
    return { part: "section", x: state.a + (sx / size.section) * (state.b - state.a), y: (1 - sy / size.height) * rowsShown().length };
  }
  return { part: null };
}

function listen(canvas) {
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const at = locate(event);
    if (at.part === "section") {
      select(Math.floor(at.x), Math.floor(at.y));
      draw();
    }
    if (at.part !== "overview") return;
    const edge = (8 / size.total) * N, inside = at.x > state.a && at.x < state.b;
    const kind = Math.abs(at.x - state.a) < edge ? "a" : Math.abs(at.x - state.b) < edge ? "b" : "move";
    if (kind === "move" && !inside) moveSection(at.x - (state.b - state.a) / 2, at.x + (state.b - state.a) / 2);
    drag = { kind, from: at.x, a: state.a, b: state.b };
    canvas.setPointerCapture(event.pointerId);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = locate(event);
    if (drag && at.part !== null && at.x !== undefined) {
      const by = at.x - drag.from;
      if (drag.kind === "move") moveSection(drag.a + by, drag.b + by);
      if (drag.kind === "a") moveSection(Math.min(drag.a + by, drag.b - 1), drag.b);
      if (drag.kind === "b") { state.b = Math.max(state.a + 1, Math.min(N, Math.round(drag.b + by))); }
      requestAnimationFrame(draw);
      return;
    }
    if (at.part === null) { $("tip").hidden = true; return; }
    const rows = rowsShown();
    const row = Math.max(0, Math.min(rows.length - 1, Math.floor(at.y)));
    say(describe(rows[row], Math.max(0, Math.min(N - 1, Math.floor(at.x)))), event);
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { drag = null; });
  canvas.addEventListener("pointerleave", () => { $("tip").hidden = true; });
}

function keys(event) {
  const step = event.shiftKey ? 10 : 1;
  const moves = {
    ArrowLeft: () => select(state.col - step), ArrowRight: () => select(state.col + step),
    ArrowUp: () => select(state.col, state.row + 1), ArrowDown: () => select(state.col, state.row - 1),
    "+": () => moveSection(state.a + 1, state.b - 1), "-": () => moveSection(state.a - 1, state.b + 1),
  };
  if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  moves[event.key]();
  draw();
}

// ---- the address bar ---------------------------------------------------------------------------

const SHARED = ["view", "rows", "layer", "head", "palette", "a", "b", "col", "row", "mapLayer", "mapHead"];

function remember() {
  const fragment = SHARED.map((name) => `${name}=${state[name]}`).join("&");
  if (location.hash.slice(1) !== fragment) history.replaceState(null, "", `#${fragment}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  const whole = (name, low, high) => {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isInteger(value) && value >= low && value < high) state[name] = value;
  };
  if (report.views.includes(given.get("view"))) state.view = given.get("view");
  if (["layers", "heads"].includes(given.get("rows"))) state.rows = given.get("rows");
  if (["diverging", "cividis"].includes(given.get("palette"))) state.palette = given.get("palette");
  whole("layer", 0, report.layers.length);
  whole("mapLayer", 0, report.layers.length);
  whole("head", -1, report.heads);
  whole("mapHead", -1, report.heads);
  whole("col", 0, N);
  whole("row", 0, Math.max(report.layers.length, report.heads));
  whole("a", 0, N);
  whole("b", state.a + 1, N + 1);
  if (state.b <= state.a) state.b = Math.min(N, state.a + 1);
}

function controls() {
  const bind = (id, name, read) => {
    const element = $(id);
    if (!element) return;
    element.value = String(state[name]);
    element.addEventListener("change", () => { state[name] = read(element.value); reflect(); draw(); });
  };
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => { state.view = button.dataset.view; reflect(); draw(); });
  }
  bind("rows", "rows", String);
  bind("layer", "layer", Number);
  bind("head", "head", Number);
  bind("palette", "palette", String);
  bind("map-layer", "mapLayer", Number);
  bind("map-head", "mapHead", Number);
  bind("map-values", "values", String);
  for (const link of document.querySelectorAll("[data-finding]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const found = report.observations[Number(link.dataset.finding)];
      if (report.views.includes(found.view)) state.view = found.view;
      if (found.head !== null) { state.rows = "layers"; state.head = found.head; }
      if (found.position !== null) select(found.position);
      if (found.layer !== null) state.row = found.layer;
      reflect();
      draw();
      $("figure").scrollIntoView({ block: "nearest" });
    });
  }
}

function reflect() {
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  }
  const attention = state.view === "attention";
  $("caption").textContent = report.captions[state.view];
  if ($("attention-controls")) $("attention-controls").hidden = !attention;
  if ($("layer")) $("layer").disabled = state.rows !== "heads";
  if ($("head")) { $("head").disabled = state.rows === "heads"; $("head").value = String(state.head); }
  if ($("rows")) $("rows").value = state.rows;
}

// ---- start -------------------------------------------------------------------------------------

const OPTIONS = { mode: "vega", ast: true, renderer: "canvas", actions: false, defaultStyle: false, tooltip: false, hover: false };

async function embed() {
  const name = small.matches ? "narrow" : "wide";
  size = report.sizes[name];
  tileKey = null;
  const made = await vegaEmbed($("canvas"), report.specs[name], OPTIONS);
  view = made.view;
  const canvas = $("canvas").querySelector("canvas");
  canvas.setAttribute("aria-hidden", "true");
  [canvas.dataset.left, canvas.dataset.top] = origin();
  listen(canvas);
  draw();
}

async function start() {
  const names = Object.keys(report.packed);
  const values = await Promise.all(names.map((name) => unpack(report.packed[name])));
  data = Object.fromEntries(names.map((name, i) => [name, values[i]]));
  const columns = report.sizes[small.matches ? "narrow" : "wide"].columns;
  moveSection(report.placement.stop - columns, report.placement.stop);
  if (state.col < state.a) moveSection(state.col, state.col + columns);
  recall();
  controls();
  reflect();
  if (report.mapSpec) {
    mapView = (await vegaEmbed($("map"), report.mapSpec, OPTIONS)).view;
    $("map").querySelector("canvas").setAttribute("aria-hidden", "true");
  }
  await embed();
  document.documentElement.classList.add("live");
  $("figure").addEventListener("keydown", keys);
  small.addEventListener("change", embed);
  dark.addEventListener("change", draw);
  matchMedia("print").addEventListener("change", draw);
}

document.documentElement.classList.add("scripted");
start();

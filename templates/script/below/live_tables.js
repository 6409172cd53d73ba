// The tables beside map, window and spread, written for what the charts show: their layer, head,
// window and frame. Without scripts they hold what the charts open with; see report/page/tables.py.
const MOST_ROWS = { spread: 64, map: 64, received: 32, window: 24 };
const SETTLED = 150; // milliseconds without a change, as while a frame is dragged
let twinTimer = 0;
const writtenFor = new Map();

// In four digits, or in as many as are known of a value that is held with an error.
function fourDigits(value, error = 0) {
  if (!Number.isFinite(value)) return null;
  const places = error > 0 ? Math.max(0, Math.min(20, Math.floor(-Math.log10(2 * error)))) : 20;
  const rounded = Number(Number(value.toFixed(places)).toPrecision(4)), size = Math.abs(rounded);
  if (size >= 1e4) return value.toFixed(0);
  return size > 0 && size < 1e-4 ? rounded.toExponential().replace(/e-(\d)$/, "e-0$1") : String(rounded);
}

const fromTo = (a, b) => `${a} to ${b - 1}`;
const withToken = (p) => `${p} ${texts.token(p)}`.trim();

function tableCell(tag, text, { number = false, scope = "" } = {}) {
  const cell = document.createElement(tag);
  if (scope) cell.scope = scope;
  if (text === null) cell.className = "missing";
  else if (number) cell.className = "number";
  if (number || text === null) cell.textContent = text ?? "missing";
  else cell.append(Object.assign(document.createElement("bdi"), { textContent: text }));
  return cell;
}

// `columns` are [name, whether its cells are numbers]; the first cell of a row names it.
function writeTwin(id, title, columns, rows) {
  const table = $(id), twin = table.closest(".twin"), line = (cells) => {
    const row = document.createElement("tr");
    row.append(...cells);
    return row;
  };
  for (const named of twin.querySelectorAll("summary bdi, caption bdi")) named.textContent = title;
  twin.querySelector(".scroll").setAttribute("aria-label", title);
  twin.querySelector(".csv").setAttribute("aria-label", `CSV of the table: ${title}`);
  table.tHead.replaceChildren(line(columns.map(([name, number]) => {
    const cell = tableCell("th", name, { scope: "col" });
    if (number) cell.className = "number";
    return cell;
  })));
  table.tBodies[0].replaceChildren(...rows.map((row) => line(row.map((text, i) =>
    i ? tableCell("td", text, { number: columns[i][1] }) : tableCell("th", text, { scope: "row" })))));
  twin.hidden = false;
}

function spreadTwin() {
  const { layer } = spreadState, { every } = report.spread, tiles = spreadValues.shape[2], each = Math.ceil(tiles / MOST_ROWS.spread), rows = [];
  for (let t = 0; t < tiles; t += each) {
    const end = Math.min(tiles, t + each), start = t * every, stop = Math.min(N, end * every);
    const values = [HOW.mean, HOW.low, HOW.high].map((how) => gather(t, end, how, (i) => spreadValues.at(how, layer, i)));
    const seen = visibleKeys(layer, (start + stop) >> 1);
    if (Number.isFinite(values[0])) rows.push([fromTo(start, stop), ...values.map((value) => fourDigits(value, spreadValues.error)), fourDigits(seen >= 1 ? Math.log(seen) : NaN)]);
  }
  const columns = [["positions", false], ["mean over heads", true], ["lowest head", true], ["highest head", true], ["ln(visible) in the middle", true]];
  writeTwin("table-spread", `Attention entropy in nats against the position, layer ${report.layers[layer]}`, columns, rows);
}

const headWord = (head, mean) => (head < 0 || mean ? "mean over heads" : `head ${headName(head)}`);
const mapHead = () => report.map.heads[Math.max(0, state.mapHead)];

// The last queries and keys of an exact window: weights, or what each adds to the row's entropy.
function windowTwin(exact, head, shares) {
  const { queries, keys, firstQuery, firstKey } = exact, value = shares ? share : weight;
  const last = (first, many) => Array.from({ length: Math.min(many, MOST_ROWS.window) }, (_, i) => first + many - Math.min(many, MOST_ROWS.window) + i);
  const [down, across] = [last(firstQuery, queries), last(firstKey, keys)];
  const rows = down.map((q) => [withToken(q), ...across.map((k) => fourDigits(value(exact, state.mapLayer, head, q, k), exact.values.error))]);
  const what = shares ? "Nats that keys add to the entropy of a query" : "Attention weights";
  const some = down.length < queries || across.length < keys ? `: the last ${down.length} of ${queries} queries` : "";
  const title = `${what} of layer ${report.layers[state.mapLayer]}, ${headWord(head, isMean(exact))}, from queries (rows) to keys${some}`;
  writeTwin("table-window", title, [["query", false], ...across.map((k) => [withToken(k), true])], rows);
}

// The largest of [value, …], none that is zero; of equals the first.
const largest = (found, many) => found.filter(([value]) => value > 0).sort((a, b) => b[0] - a[0]).slice(0, many);
const shareRows = (found, error) => largest(found, MOST_ROWS.map).map(([value, queries, keys]) => [queries, keys, fourDigits(value, error)]);

function tilesWithin(q0, q1, k0, k1) {
  const { queries, keys } = report.map, head = Math.max(0, state.mapHead), found = [];
  for (let r = 0; r < queries.length - 1; r++) {
    if (queries[r] >= q1 || queries[r + 1] <= q0) continue;
    for (let c = 0; c < keys.length - 1; c++) {
      if (keys[c] >= k1 || keys[c + 1] <= k0) continue;
      found.push([mapValues.at(state.mapLayer, head, r, c), fromTo(queries[r], queries[r + 1]), fromTo(keys[c], keys[c + 1])]);
    }
  }
  return found;
}

function weightsWithin(exact, { q0, q1, k0, k1 }) {
  const found = [];
  for (let q = q0; q < q1; q++) for (let k = k0; k < k1; k++) found.push([weight(exact, state.mapLayer, mapHead(), q, k), withToken(q), withToken(k)]);
  return found;
}

function mapTwin() {
  const columns = [["queries", false], ["keys", false], ["share of the queries' attention", true]];
  const of = `layer ${report.layers[state.mapLayer]}, ${headWord(mapHead())}`, rows = shareRows(tilesWithin(0, N, 0, N), mapValues.error);
  writeTwin("table-map", `The ${rows.length} tiles of the map that hold the most, ${of}`, columns, rows);
  const covering = exactValues.find(covers), { q0, q1, k0, k1 } = region;
  const within = covering ? shareRows(weightsWithin(covering, region), covering.values.error) : shareRows(tilesWithin(q0, q1, k0, k1), mapValues.error);
  const frame = `queries ${fromTo(q0, q1)}, keys ${fromTo(k0, k1)}`;
  writeTwin("table-region", `The ${within.length} ${covering ? "exact weights" : "tiles"} in the purple frame (${frame}) that hold the most, ${of}`, columns, within);
}

function receivedTwin() {
  const { every, heads } = report.received, head = Math.max(0, heads.indexOf(mapHead())), found = [];
  for (let i = 0; i < received.shape[2]; i++) found.push([received.at(state.mapLayer, head, i), i * every]);
  const rows = largest(found, MOST_ROWS.received).map(([value, p]) => [
    every === 1 ? String(p) : fromTo(p, Math.min(N, p + every)), every === 1 ? texts.token(p) : `mean of ${every} keys`, fourDigits(value, received.error),
  ]);
  const title = `The ${rows.length} ${every === 1 ? "keys" : `runs of ${every} keys`} that receive the most from all queries, layer ${report.layers[state.mapLayer]}, ${headWord(heads[head])}`;
  writeTwin("table-received", title, [["key", false], ["token", false], ["received", true]], rows);
}

// Each table, what it depends on (null: its chart does not stand), and how it is written.
const TWINS = [
  ["table-spread", () => spreadView && [spreadState.layer], spreadTwin],
  ["table-window", () => windowView && [state.mapLayer, state.mapHead, state.values], () => windowTwin(exactValues[0], state.mapHead, state.values === "entropy")],
  ["table-window", () => mapView && exactValues[state.mapWindow] && [state.mapLayer, state.mapHead, state.mapWindow], () => windowTwin(exactValues[state.mapWindow], mapHead(), false)],
  ["table-map", () => mapView && [state.mapLayer, state.mapHead, ...Object.values(region)], mapTwin],
  ["table-received", () => mapView && received && [state.mapLayer, state.mapHead], receivedTwin],
];

function writeTwins() {
  clearTimeout(twinTimer);
  for (const [id, of, write] of TWINS) {
    const key = $(id) && of()?.join();
    if (!key || writtenFor.get(write) === key) continue;
    writtenFor.set(write, key);
    write();
  }
}

function soonTwins() {
  clearTimeout(twinTimer);
  twinTimer = setTimeout(writeTwins, SETTLED);
}

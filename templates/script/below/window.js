// Exact weights: a window of them, and the map that is one window, of a prompt that is short.
let exactValues = [], windowView = null, windowKey = null;

async function readWindows() {
  exactValues = await Promise.all(report.windows.map(async (window) => ({
    ...window,
    values: await unpack(window.values),
    shares: window.shares ? await unpack(window.shares) : null,
  })));
  for (const window of exactValues) [, , window.queries, window.keys] = window.values.shape;
}

const isMean = (window) => window.heads.length === 1 && window.heads[0] < 0;
const holds = (window, query) => query >= window.firstQuery && query < window.firstQuery + window.queries;
// The window that holds a query's weights over the keys up to itself, if there is one.
const exactWindow = (query) => exactValues.find((window) => holds(window, query) && query >= window.firstKey) || null;

function weight(window, entry, head, query, key) {
  const q = query - window.firstQuery, k = key - window.firstKey;
  if (q < 0 || k < 0 || q >= window.queries || k >= window.keys) return NaN;
  if (isMean(window)) return window.values.at(entry, 0, q, k);
  if (head >= 0) return window.values.at(entry, head, q, k);
  const heads = Math.min(report.headCounts[entry] || window.heads.length, window.heads.length);
  let sum = 0;
  for (let h = 0; h < heads; h++) sum += window.values.at(entry, h, q, k);
  return sum / (heads || 1);
}

function share(window, entry, head, query, key) {
  const one = (p) => (p > 0 ? -p * Math.log(p) : p === 0 ? 0 : NaN);
  if (isMean(window)) return window.shares ? window.shares.at(entry, 0, query - window.firstQuery, key - window.firstKey) : NaN;
  if (head >= 0) return one(weight(window, entry, head, query, key));
  const heads = Math.min(report.headCounts[entry] || window.heads.length, window.heads.length);
  let sum = 0;
  for (let h = 0; h < heads; h++) sum += one(weight(window, entry, h, query, key));
  return sum / (heads || 1);
}

function drawWindow() {
  if (!windowView) return;
  const exact = exactValues[0], n = exact.queries;
  const key = [state.mapLayer, state.mapHead, state.values].join(), shares = state.values === "entropy";
  if (key !== windowKey) {
    windowKey = key;
    const value = shares ? share : weight;
    const at = (r, c) => value(exact, state.mapLayer, state.mapHead, exact.firstQuery + r, exact.firstKey + c);
    const later = (r, c) => report.causal && exact.firstKey + c > exact.firstQuery + r;
    let high = 1;
    if (shares) {
      high = 0;
      for (let r = 0; r < n; r++) for (let c = 0; c < exact.keys; c++) if (!later(r, c)) high = Math.max(high, at(r, c) || 0);
    }
    windowView.data("map", [{ x0: 0, x1: n, y0: 0, y1: n, image: image(n, exact.keys, at, { ...SHARE, high }, "weight", later) }]);
    $("map-scale").textContent = shares
      ? `White 0 to dark ${high.toFixed(2)} nats added to the row's entropy; empty: not visible.`
      : "White 0 to dark 1: attention weight; empty: not visible.";
  }
  for (const [name, value] of Object.entries({ col: state.col, ...theme() })) windowView.signal(name, value);
  windowView.run();
  soonTwins();
}

async function startWindow() {
  windowView = await chart("map", "window");
  drawWindow();
}

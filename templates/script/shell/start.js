// The start: what the first picture needs first, the other charts when they come into sight.
const fitting = () => (small.matches ? "narrow" : "wide");

async function embed() {
  width = fitting();
  size = report.sizes[width];
  overviewKey = null;
  shownPieces = "";
  pieces.clear();
  view = await chart("canvas", "figure");
  listen($("canvas").querySelector("canvas"));
  draw();
}

// The charts below the figure: [where, how to start, how to draw again].
const below = () => [
  report.specs.window && ["map", startWindow, drawWindow],
  report.specs.map && report.map && ["map", startMap, drawMap],
  report.specs.spread && report.spread && ["spread", startSpread, drawSpread],
  report.specs.roster && report.scores && ["roster", startRoster, drawRoster],
].filter(Boolean);
const started = new Set();

function whenSeen() {
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      const [id, start] = below().find(([name]) => $(name).parentElement === entry.target);
      observer.unobserve(entry.target);
      started.add(id);
      start();
    }
  }, { rootMargin: "600px" });
  for (const [id] of below()) observer.observe($(id).parentElement);
}

function drawAll() {
  draw();
  for (const [, , again] of below()) again();
}

async function resize() {
  if (width === fitting()) return;
  await embed();
  for (const [id, start] of below()) if (started.has(id)) await start();
}

// Of a long prompt the most comes last in the page: it is read when the first picture stands.
async function readLater() {
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done));
  const { packed, ...more } = JSON.parse($("later").textContent);
  Object.assign(report, more);
  Object.assign(data, await unpackAll(packed));
  await readWindows();
  makePlanes();
  pinsKey = null;
  pieces.clear();
  shownPieces = overviewKey = null;
  draw();
}

async function start() {
  [data] = await Promise.all([unpackAll(report.packed), readTexts(), readWindows()]);
  makePlanes();
  const { start: from, stop } = report.placement;
  moveSection(small.matches ? stop - Math.min(stop - from, report.sizes.narrow.columns) : from, stop);
  if (state.col < state.a) moveSection(state.col, state.col + state.b - state.a);
  Object.assign(region, report.region);
  if (report.region) state.mapHead = 0;
  keepOpening();
  const recalled = location.hash.length > 1;
  recall();
  controls();
  searchControls();
  helpControls();
  reflect();
  await prepareStatistic();
  await embed();
  document.documentElement.classList.add("live");
  addEventListener("keydown", keys);
  sections();
  if (report.later) await readLater();
  controlsBelow();
  csvButtons();
  printing(recalled);
  whenSeen();
  addEventListener("hashchange", follow);
  let resized = Promise.resolve(), waiting = 0;
  small.addEventListener("change", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { resized = resized.then(resize); }, 100);
  });
  for (const changed of [dark, matchMedia("print")]) changed.addEventListener("change", drawAll);
  document.documentElement.classList.add("whole");
}

document.documentElement.classList.add("scripted");
start();

// Drawing the figure for the current state: its datasets and its parameters, nothing else.
const OPTIONS = { mode: "vega", ast: true, renderer: "canvas", actions: false, defaultStyle: false, tooltip: false, hover: false };
let view = null, width = "wide", size = null, frame = 0, sectionBin = 1, insetShown = null;

// The chart of a specification, for the page's width.
async function chart(id, name) {
  const specs = report.specs[name], spec = JSON.parse(await (await inflate(specs[width] || specs.wide)).text());
  const made = (await vegaEmbed($(id), spec, OPTIONS)).view;
  const canvas = $(id).querySelector("canvas");
  canvas.setAttribute("aria-hidden", "true");
  canvas.dataset.width = canvas.width / devicePixelRatio;
  [canvas.dataset.left, canvas.dataset.top] = origin(made);
  $(id).parentElement.classList.add("drawn");
  return made;
}

function legendRows(name) {
  const steps = 64;
  return Array.from({ length: steps }, (_, i) => ({
    y0: i / steps, y1: Math.min(1, (i + 1.3) / steps), fill: hex(colour((i + 0.5) / steps, SHARE, name)),
  }));
}

function caption() {
  return state.view === "lens" ? report.placement.caption : "“Dummy tokens”: the chat template after the question";
}

function drawOverview(rows) {
  view.data("tile", overview(rows));
  view.data("legend", legendRows(state.palette));
  view.data("ticks", ticks(scaleShown()));
  view.data("legendtitle", [{ text: scaleShown().title }]);
  const every = Math.max(1, Math.round(rows.length / 24));
  view.data("rows", rows.map((row, r) => ({ yc: r + 0.5, text: row.label })).filter((_, r) => r % every === 0));
  view.data("rowtitle", [{ text: state.view === "attention" && state.rows === "heads" ? `head of layer ${report.layers[state.layer]}` : "layer" }]);
  view.data("overviewlabels", [{ y: 0.06, text: rows[0].label }, { y: 0.94, text: rows[rows.length - 1].label }]);
  const bin = overviewBin();
  const named = { mean: "mean", low: "least", high: "largest" }[state.how];
  const many = bin > 1 ? `, each column the ${named} of ${bin}` : "";
  view.data("overviewtitle", [{ text: `all ${count(N)} positions, every ${state.view === "attention" && state.rows === "heads" ? "head" : "layer"}${many}` }]);
}

function drawSection(rows) {
  const letters = Math.floor(size.section / (state.b - state.a) / 7.2);
  const live = letters >= 2 && (state.b - state.a) * rows.length <= report.liveCells;
  sectionBin = live ? 1 : binOf(rows);
  view.data("cells", live ? sectionCells(rows, letters) : []);
  const found = live ? [] : sectionPieces(rows), key = found.map((piece) => piece.key).join(";");
  if (key !== shownPieces) view.data("part", found);
  shownPieces = key;
  let columns = [];
  if (letters < 2) columns = numbers(state.a, state.b, size.section);
  else for (let p = state.a; p < state.b; p++) columns.push({ xc: p + 0.5, text: cut(texts.token(p), letters) });
  view.data("columns", columns);
}

function insetTitle(box, row) {
  const wide = size.inset > 100;
  if (box.weights) return `${wide ? "weights, " : ""}layer ${report.layers[row.entry]}`;
  return `${report.compare ? "column" : wide ? "position" : "pos."} ${count(state.col)}`;
}

// While the frame is dragged only what the drag changes is drawn; `settle` does the rest.
function draw(settled = true) {
  if (!view) return;
  if (!statisticReady()) { prepareStatistic().then(() => draw(settled)); return; }
  const rows = rowsShown();
  if (drawnBy() !== overviewKey) {
    overviewKey = drawnBy();
    drawOverview(rows);
  }
  drawSection(rows);
  const box = insetShown = inset(rows);
  view.data("inset", box.cells).data("insetrows", box.rowLabels).data("insetcolumns", box.columns);
  const row = rows[Math.min(state.row, rows.length - 1)];
  view.data("insettitle", [{ text: insetTitle(box, row) }]);
  view.data("caption", [{ text: caption() }]);
  view.data("pins", pinFrames());
  drawMatches();
  const pixels = size.height / rows.length, insetPixels = size.height / box.height;
  const signals = {
    rowcount: rows.length, a: state.a, b: state.b, col: state.col, insetwidth: box.width, insetheight: box.height,
    cellfont: pixels < 8 ? 0 : Math.min(12, pixels * 0.7), insetfont: insetPixels < 8 ? 0 : Math.min(box.weights ? 12 : size.insetFont, insetPixels * 0.75),
    ...theme(),
  };
  for (const [name, value] of Object.entries(signals)) view.signal(name, value);
  view.run();
  if (!settled) return;
  drawPins();
  writeCaption();
  drawWindow();
  speak();
  remember();
}

// At most one drawing a frame, however many events come.
function soon() {
  if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(false); });
}

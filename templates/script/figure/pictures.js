// The pictures behind the figure: the overview's, and the section's in pieces that are kept, so
// that moving the frame draws no more than what comes into sight.
const PIECE = 512, KEPT = 96;
const pieces = new Map();
let overviewKey = null, shownPieces = "";

const drawnBy = () => [keyShown(), state.rows, state.layer, state.head, state.palette, state.how].join();

function picture(rows, a, bin, columns) {
  return image(rows.length, columns, (r, c) => {
    const from = a + c * bin;
    return entropyOver(rows[rows.length - 1 - r], from, Math.min(N, from + bin));
  }, scaleShown(), state.palette);
}

// Positions a column of the overview.
function overviewBin() {
  const heads = state.view === "attention" && (state.rows === "heads" || state.head >= 0);
  return Math.max((heads && report.headStep) || 1, report.steps[state.view] || report.overviewSteps[state.view]);
}

// The whole prompt in as many columns as the overview has tiles.
function overview(rows) {
  const bin = overviewBin(), columns = Math.ceil(N / bin);
  return [{ x0: 0, x1: columns * bin, y0: 0, y1: rows.length, image: picture(rows, 0, bin, columns) }];
}

// How many positions share a column of the section's picture: about a pixel's worth, and of a
// sampled lens enough that a column has something to show.
function binOf(rows) {
  let bin = 1;
  while ((state.b - state.a) / bin > 2 * size.section) bin *= 2;
  if (state.view === "lens" && sparse(rows)) {
    while (bin < report.overviewSteps.lens) bin *= 2;
  }
  return bin;
}

function sparse(rows) {
  const probes = 64, every = Math.max(1, Math.floor((state.b - state.a) / probes));
  let read = 0, looked = 0;
  for (let p = state.a; p < state.b; p += every) {
    looked++;
    if (rows.some((row) => { const value = row.plane.at(row.at, p); return value === undefined || value === value; })) read++;
  }
  return read * 2 < looked;
}

function sectionPieces(rows) {
  const bin = binOf(rows), span = PIECE * bin, found = [];
  for (let first = Math.floor(state.a / span); first * span < state.b; first++) {
    const key = `${drawnBy()},${bin},${first}`;
    if (!pieces.has(key)) {
      if (pieces.size >= KEPT) pieces.delete(pieces.keys().next().value);
      const columns = Math.min(PIECE, Math.ceil((N - first * span) / bin));
      pieces.set(key, picture(rows, first * span, bin, columns));
    }
    const made = pieces.get(key);
    found.push({ key, x0: first * span, x1: first * span + made.width * bin, y0: 0, y1: rows.length, image: made });
  }
  return found;
}

// What single cells say: live rectangles with text, and the magnified column or weights.
// The key that most heads attend to most, or that of the one head; MISSING where there is none.
function topKey(row, position, keys = data.topKey) {
  const slot = headDetails.slot(position), { held } = headDetails;
  if (!keys || slot < 0) return MISSING;
  const read = (h) => keys.get((row.entry * report.heads + h) * held + slot);
  if (row.head >= 0) return inLayer(row) ? read(row.head) : MISSING;
  const votes = new Map();
  for (let h = 0; h < report.headCounts[row.entry]; h++) {
    const key = read(h);
    if (key >= 0) votes.set(key, (votes.get(key) || 0) + 1);
  }
  let best = MISSING;
  for (const [key, heads] of votes) {
    if (best === MISSING || heads > votes.get(best) || (heads === votes.get(best) && key < best)) best = key;
  }
  return best;
}

function likeliest(row, position, k) {
  const slot = details.slot(position);
  return slot < 0 || !lensDetail("topIds") ? null : { id: lensDetail("topIds").at(row.entry, slot, k), p: Math.exp(lensDetail("topLogprobs").at(row.entry, slot, k)) };
}

function cellText(row, position, letters) {
  if (report.compare) return pairText(pairOf(row, position), letters);
  if (state.view === "lens") {
    const best = likeliest(row, position, 0);
    return best ? word(best.id) : "";
  }
  const key = topKey(row, position);
  return key < 0 ? "" : texts.token(key);
}

function cell(x, y, text, c) {
  return { x0: x, x1: x + 1, xc: x + 0.5, y0: y, y1: y + 1, yc: y + 0.5, text, fill: hex(c), tint: ink(c) };
}

function sectionCells(rows, letters) {
  const cells = [], scale = scaleShown();
  for (let p = state.a; p < state.b; p++) {
    rows.forEach((row, r) => {
      cells.push(cell(p, r, cut(cellText(row, p, letters), letters), colour(entropyAt(row, p), scale, state.palette)));
    });
  }
  return cells;
}

// The lens's likeliest token with its probability, or the most attended one; of two traces both.
function insetText(row, twoLines) {
  if (report.compare && twoLines) return stackedText(pairOf(row, state.col), size.insetLetters);
  const text = cut(cellText(row, state.col, size.insetLetters), size.insetLetters);
  if (report.compare || state.view !== "lens" || !text || size.insetLetters < 10) return text;
  const { p } = likeliest(row, state.col, 0);
  return Number.isFinite(p) ? `${text}  ${p.toFixed(2)}` : text;
}

// Lens: the column magnified. Attention: weights of a few queries over the keys they attend to most.
function inset(rows) {
  const exact = state.view === "attention" ? exactWindow(state.col) : null;
  if (!exact) {
    const pixels = size.height / rows.length, twoLines = pixels >= 2.5 * size.insetFont;
    const cells = rows.map((row, r) => {
      const made = cell(0, r, insetText(row, twoLines), colour(entropyAt(row, state.col), scaleShown(), state.palette));
      // Two lines begin higher than one stands; a line is two pixels more than its font.
      return Array.isArray(made.text) ? { ...made, yc: made.yc + (size.insetFont + 2) / 2 / pixels } : made;
    });
    return { cells, width: 1, height: rows.length, rowLabels: [], columns: [{ xc: 0.5, text: cut(texts.token(state.col), Math.min(16, Math.floor(size.inset / 6.5))) }], weights: false };
  }
  const row = rows[Math.min(state.row, rows.length - 1)];
  const head = row.head < 0 ? -1 : report.headNames[row.head];
  // As many queries as there is room for their weights.
  const few = Math.max(1, Math.min(3, Math.floor(size.inset / 36)));
  const queries = [state.col - 2, state.col - 1, state.col].slice(-few).filter((q) => q >= exact.firstQuery);
  const last = Math.min(state.col, exact.firstKey + exact.keys - 1);
  const keys = Array.from({ length: last + 1 - exact.firstKey }, (_, i) => i + exact.firstKey)
    .sort((i, j) => weight(exact, row.entry, head, state.col, j) - weight(exact, row.entry, head, state.col, i) || i - j)
    .slice(0, 6).sort((i, j) => j - i);
  const cells = [];
  queries.forEach((q, x) => keys.forEach((k, y) => {
    const p = weight(exact, row.entry, head, q, k);
    cells.push(cell(x, y, Number.isFinite(p) ? p.toFixed(2) : "", colour(p, SHARE, "weight")));
  }));
  return {
    cells, width: queries.length, height: keys.length, weights: true,
    exact, row, head, queries, keys,
    rowLabels: keys.map((k, y) => ({ yc: y + 0.5, text: ends(texts.full(k), few > 1 ? 7 : 5) })),
    columns: queries.map((q, x) => ({ xc: x + 0.5, text: cut(texts.token(q), 6) })),
  };
}

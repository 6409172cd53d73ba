// Reading a cell: the lines of the tooltip, and what the live region says.
const nats = (value, error) => (Number.isFinite(value) ? `${value.toFixed(error > 0.0005 ? 2 : 3)} nats` : "missing");

// A value of the statistic that is shown, in its unit, with no more digits than are true.
const inUnit = (number) => `${number}${scaleShown().unit ? ` ${scaleShown().unit}` : ""}`;
const amount = (value, error) => (Number.isFinite(value) ? inUnit(digits(value, error)) : "missing");

function digits(value, error, most = 3) {
  const exact = scaleShown().digits === 0 ? 0 : most, known = error > 0.5 ? 0 : error > 0.05 ? 1 : error > 0.0005 ? 2 : 3;
  return value.toFixed(Math.min(exact, known));
}

// Why the lens has no value: a whole column or a whole row without any was left out.
function unread(row, position) {
  const there = report.layers.some((_, entry) => Number.isFinite(row.plane.over(entry, position, position + 1, 0)));
  if (!there) return notReached(position) || "the lens did not read this position";
  for (let p = 0; p < N; p += Math.max(1, Math.floor(N / 4096))) {
    if (Number.isFinite(row.plane.over(row.at, p, p + 1, 0))) return "not read";
  }
  return "the lens did not read this layer";
}

function notReached(position) {
  const { partial } = report;
  if (!partial || position < partial.done) return "";
  return `not recorded: the run stopped after ${count(partial.done)} tokens${partial.reason ? ` (${partial.reason})` : ""}`;
}

// What stands for a position that the page does not hold.
function describeTile(row, position, kind) {
  const tile = row.plane.tile(row.at, position);
  if (!tile) return [`${kind} of single heads is not in the page here`];
  const { mean, low, high, from, to } = tile;
  const where = `mean of positions ${count(from)} to ${count(to - 1)}`;
  if (!Number.isFinite(mean)) return [`${kind} missing at ${where.slice(8)}`, notReached(position)].filter(Boolean);
  const range = low === undefined ? "" : `, least ${low.toFixed(2)}, largest ${high.toFixed(2)}`;
  return [`${kind}: ${where} ${inUnit(mean.toFixed(2))}${range}`, "single positions are not in the page here"];
}

function describe(row, position) {
  if (report.compare) return describeBoth(row, position);
  const text = texts.full(position), role = texts.role(position);
  const lines = [`${rowName(row)} · position ${count(position)}${text ? ` · ${text} (${role})` : ""}`];
  const value = inLayer(row) ? row.plane.at(row.at, position) : NaN;
  if (value === undefined) return [...lines, ...describeTile(row, position, statName())];
  return [...lines, ...(state.view === "lens" ? describeLens(row, position, value) : describeAttention(row, position, value))];
}

// Beside another statistic, the entropy of the same cell, where it is held.
function besideEntropy(row, position) {
  if (statShown() === "entropy" || otherSite()) return [];
  const own = row.head < 0 ? planes[state.view] : planes.heads, value = own.at(row.at, position);
  return Number.isFinite(value) ? [`entropy ${nats(value, own.error)}`] : [];
}

function describeLens(row, position, value) {
  const lines = [`${statName()} ${amount(value, row.plane.error)}`, ...besideEntropy(row, position)];
  if (!Number.isFinite(value)) return [...lines, unread(row, position)];
  const slot = details.slot(position), [kl, ranks] = ["lensKl", "lensRank"].map(lensDetail), stat = statShown();
  if (slot < 0 || !lensDetail("topIds")) return [...lines, "likeliest tokens are not in the page here"];
  if (kl && stat !== "lens_kl") lines.push(`divergence from the last layer ${nats(kl.at(row.entry, slot), kl.error)}`);
  if (ranks) lines.push(`rank ${ranks.at(row.entry, slot)} of ${wordFull(lensDetail("targets").at(slot))}, which the model predicts here`);
  for (let k = 0; k < lensDetail("topIds").shape[2]; k++) {
    const { id, p } = likeliest(row, position, k);
    if (id >= 0) lines.push(`${Number.isFinite(p) ? `${(p * 100).toFixed(1)} %` : "missing"}  ${wordFull(id)}`);
  }
  return lines;
}

function describeAttention(row, position, value) {
  const visible = visibleKeys(row.entry, position);
  const seen = visible === null ? "" : `, ${count(visible)} visible keys (ln = ${visible ? Math.log(visible).toFixed(3) : "–"})`;
  const lines = [`${statName()} ${amount(value, row.plane.error)}${seen}`, ...besideEntropy(row, position)];
  if (!Number.isFinite(value)) return [...lines, report.notes[row.entry] || notReached(position) || (visible === 1 ? "only one key is visible here" : "no key is visible here")];
  const key = topKey(row, position);
  if (key >= 0) lines.push(`${row.head < 0 ? "most heads attend most to" : "attends most to"} ${texts.full(key)} (position ${count(key)})`);
  const slot = headDetails.slot(position);
  if (row.head >= 0 && data.maxProb && slot >= 0 && statShown() !== "max_prob") lines.push(`largest weight ${data.maxProb.at(row.entry, row.head, slot).toFixed(3)}`);
  return lines;
}

// What is under a point of the inset: a cell of the magnified column, or a weight with its query and
// its key in full.
function describeInset({ y, across }) {
  const { weights, width: columns, height: rows, exact, row, head, queries, keys } = insetShown;
  const at = Math.min(rows - 1, Math.floor(y * rows));
  if (!weights) return describe(rowsShown()[at], state.col);
  const q = queries[Math.min(columns - 1, Math.floor(across * columns))], k = keys[at];
  const p = weight(exact, row.entry, head, q, k), mean = isMean(exact) || row.head < 0;
  const named = (position) => `${texts.full(position)} (position ${count(position)}, ${texts.role(position)})`;
  return [
    `exact weight ${Number.isFinite(p) ? p.toFixed(3) : "missing"}`, `query ${named(q)}`, `key ${named(k)}`,
    `layer ${report.layers[row.entry]}, ${mean ? "mean over heads" : `head ${headName(row.head)}`}`,
  ];
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

const silence = () => { $("tip").hidden = true; };

// Of a column that stands for several positions: what is drawn there.
function describeDrawn(row, position, bin) {
  if (bin < 2 || !inLayer(row) || row.plane.at(row.at, position) === undefined) return [];
  const from = Math.floor(position / bin) * bin, to = Math.min(N, from + bin);
  const [mean, low, high] = [0, 1, 2].map((how) => row.plane.over(row.at, from, to, how));
  if (!Number.isFinite(mean)) return [];
  return [`drawn here: positions ${count(from)} to ${count(to - 1)}, mean ${inUnit(mean.toFixed(2))}, least ${low.toFixed(2)}, largest ${high.toFixed(2)}`];
}

// The selected cell in short: its value first, then where it is and what it says.
function speak() {
  const rows = rowsShown(), row = rows[Math.min(state.row, rows.length - 1)];
  const [where, value] = describe(row, state.col), text = cellText(row, state.col);
  const says = text ? `${state.view === "lens" ? "likeliest" : "attends most to"} ${text}` : "";
  const said = [value, where, says].filter(Boolean).join("; ");
  if ($("live").textContent !== said) $("live").textContent = said;
}

// Reading a cell: the lines of the tooltip, and what the live region says.
const nats = (value, error) => (Number.isFinite(value) ? `${value.toFixed(error > 0.0005 ? 2 : 3)} nats` : "missing");

// Why the lens has no value: a whole column or a whole row without any was left out.
function unread(row, position) {
  const there = report.layers.some((_, entry) => Number.isFinite(planes.lens.over(entry, position, position + 1, 0)));
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
  return [`${kind}: ${where} ${mean.toFixed(2)} nats${range}`, "single positions are not in the page here"];
}

function describe(row, position) {
  if (report.compare) return describeBoth(row, position);
  const text = texts.full(position), role = texts.role(position);
  const lines = [`${rowName(row)} · position ${count(position)}${text ? ` · ${text} (${role})` : ""}`];
  const value = inLayer(row) ? row.plane.at(row.at, position) : NaN;
  const kind = state.view === "lens" ? "lens entropy" : "attention entropy";
  if (value === undefined) return [...lines, ...describeTile(row, position, kind)];
  return [...lines, ...(state.view === "lens" ? describeLens(row, position, value) : describeAttention(row, position, value))];
}

const errorOf = (names) => Math.max(0, ...names.map((name) => (data[name] ? data[name].error : 0)));

function describeLens(row, position, value) {
  const lines = [`lens entropy ${nats(value, errorOf(["lensWhole", "lensPart"]))}`];
  if (!Number.isFinite(value)) return [...lines, unread(row, position)];
  const slot = details.slot(position);
  if (slot < 0) return [...lines, "likeliest tokens are not in the page here"];
  if (data.lensKl) lines.push(`divergence from the last layer ${nats(data.lensKl.at(row.entry, slot), data.lensKl.error)}`);
  if (data.lensRank) lines.push(`rank ${data.lensRank.at(row.entry, slot)} of ${wordFull(data.targets.at(slot))}, which the model predicts here`);
  for (let k = 0; k < data.topIds.shape[2]; k++) {
    const { id, p } = likeliest(row, position, k);
    lines.push(`${(p * 100).toFixed(1)} %  ${wordFull(id)}`);
  }
  return lines;
}

function describeAttention(row, position, value) {
  const visible = visibleKeys(row.entry, position);
  const seen = visible === null ? "" : `, ${count(visible)} visible keys (ln = ${visible ? Math.log(visible).toFixed(3) : "–"})`;
  const lines = [`attention entropy ${nats(value, errorOf(row.head < 0 ? ["attentionWhole", "attentionPart"] : ["headsPart"]))}${seen}`];
  if (!Number.isFinite(value)) return [...lines, report.notes[row.entry] || notReached(position) || "no key is visible here"];
  const key = topKey(row, position);
  if (key >= 0) lines.push(`${row.head < 0 ? "most heads attend most to" : "attends most to"} ${texts.full(key)} (position ${count(key)})`);
  const slot = headDetails.slot(position);
  if (row.head >= 0 && data.maxProb && slot >= 0) lines.push(`largest weight ${data.maxProb.at(row.entry, row.head, slot).toFixed(3)}`);
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

const silence = () => { $("tip").hidden = true; };

function speak() {
  const rows = rowsShown();
  $("live").textContent = describe(rows[Math.min(state.row, rows.length - 1)], state.col).join("; ");
}

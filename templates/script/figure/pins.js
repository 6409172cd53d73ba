// What is pinned: a column, a rectangle of cells, or exact weights. Each keeps the reading that it
// was pinned in, is drawn as a table below the figure, and framed in the figure.
const MOST_PINS = 8, PIN_ROWS = 40, PIN_COLUMNS = 12, PIN_QUERIES = 6;
const PINNED = ["view", "rows", "layer", "head", "stat", "site"]; // the parts of `state` that are a reading
const UNSAID = { stat: "entropy", site: state.site }; // what a reading is of where it does not say
let marked = null, pinsKey = null; // the rectangle being drawn; what the cards were made from

// The reading that is shown: what is chosen and does not exist in this view is no part of it.
function readingNow() {
  const chosen = Object.fromEntries(PINNED.map((name) => [name, state[name]]));
  return { ...chosen, stat: statShown(), site: otherSite() ? siteShown() : UNSAID.site };
}

// What `work` finds in another reading than the figure's.
function inReading(reading, work) {
  const kept = { ...state };
  Object.assign(state, reading, { how: "mean" });
  try {
    return work(rowsShown());
  } finally {
    Object.assign(state, kept);
  }
}

// What goes unsaid is left out at a reading's end: an address is short.
function readingText(reading) {
  const parts = PINNED.map((name) => reading[name]);
  while (reading[PINNED[parts.length - 1]] === UNSAID[PINNED[parts.length - 1]]) parts.pop();
  return parts.join(".");
}

const pinText = ({ kind, r0, r1, p0, p1, reading }) =>
  [kind, ...(kind === "c" ? [p0] : [`${r0}:${r1}`, `${p0}:${p1}`]), readingText(reading)].join(",");

// A pin from what the address says; null for anything that is none.
function pinFrom(text) {
  const match = /^(?:c,(\d{1,9})|([rw]),(\d{1,9}):(\d{1,9}),(\d{1,9}):(\d{1,9})),([\w.-]{1,99})$/.exec(text);
  if (!match) return null;
  const given = match[7].split("."), reading = { ...UNSAID };
  PINNED.forEach((name, i) => { if (i < given.length || !(name in UNSAID)) reading[name] = FIELDS[name](given[i] ?? ""); });
  if (given.length > PINNED.length || Object.values(reading).includes(undefined)) return null;
  if (inReading(reading, () => readingText(readingNow())) !== readingText(reading)) return null;
  const rows = inReading(reading, (found) => found.length);
  const [r0, r1, p0, p1] = match[1] ? [0, rows, Number(match[1]), Number(match[1]) + 1] : match.slice(3, 7).map(Number);
  if (!(r0 < r1 && r1 <= rows && p0 < p1 && p1 <= N)) return null;
  if (match[2] === "w" && (r1 - r0 > 1 || p1 - p0 > PIN_QUERIES || reading.view !== "attention")) return null;
  return { kind: match[2] ?? "c", r0, r1, p0, p1, reading };
}

const tellPins = (text) => { $("pins-note").textContent = text; };

function pin(kind, r0, r1, p0, p1, reading = readingNow()) {
  const made = { kind, r0, r1, p0, p1, reading };
  if (state.pins.some((other) => pinText(other) === pinText(made))) tellPins("That is pinned already.");
  else if (state.pins.length >= MOST_PINS) tellPins(`No more than ${MOST_PINS} insets: remove one first.`);
  else {
    state.pins.push(made);
    tellPins(`Inset ${state.pins.length} added below: ${pinTitle(made)}.`);
  }
}

const pinColumn = () => pin("c", 0, rowsShown().length, state.col, state.col + 1);
const pinSection = () => pin("r", 0, rowsShown().length, state.a, state.b);

// The exact weights of the selected query and those before it, of the selected row.
function pinWeights() {
  const exact = exactWindow(state.col);
  if (!exact) {
    tellPins(`No exact weights of position ${count(state.col)} in the page. ${weightsHeld()}`);
    return;
  }
  const row = Math.min(state.row, rowsShown().length - 1);
  const reading = state.view === "attention" ? readingNow() : { ...readingNow(), view: "attention", rows: "layers", head: -1, ...UNSAID };
  pin("w", row, row + 1, Math.max(exact.firstQuery, state.col + 1 - PIN_QUERIES), state.col + 1, reading);
}

function weightsHeld() {
  if (!exactValues.length) return "The trace holds none.";
  return `It holds those of queries ${exactValues.map((w) => span(w.firstQuery, w.firstQuery + w.queries)).join(", ")}.`;
}

function unpin(pin) {
  const at = state.pins.indexOf(pin);
  state.pins.splice(at, 1);
  draw();
  tellPins(`Inset ${at + 1} removed.`);
  const next = $("pins").querySelectorAll(".unpin")[Math.min(at, state.pins.length - 1)];
  (next ?? $("figure")).focus();
}

// Moves the figure to where the pin is, in its reading.
function showPin({ kind, r0, r1, p0, p1, reading }) {
  Object.assign(state, reading);
  if (p0 < state.a || p1 > state.b) {
    const half = Math.max(state.b - state.a, p1 - p0) / 2, middle = (p0 + p1) / 2;
    moveSection(middle - half, middle + half);
  }
  select(kind === "w" ? p1 - 1 : p0, kind === "c" ? state.row : r1 - 1);
  reflect();
  draw();
  $("figure").scrollIntoView({ block: "nearest" });
  $("figure").focus({ preventScroll: true });
}

// The frames' rows, for the rows that the figure shows: a head is within its layer, a layer is all
// of its heads. Frames of the other view are faint.
function pinFrames() {
  const heads = state.view === "attention" && state.rows === "heads", many = rowsShown().length;
  const framed = state.pins.map(({ r0, r1, p0, p1, reading }, i) => {
    const ofHeads = reading.view === "attention" && reading.rows === "heads";
    let rows = [r0, r1];
    if (ofHeads && !heads) rows = [reading.layer, reading.layer + 1];
    else if (heads && !(ofHeads && reading.layer === state.layer)) rows = [0, many];
    const same = reading.view === state.view;
    return { p0, p1, rows, number: `${i + 1}`, shown: same ? 1 : 0.45, dash: [1, 0] };
  });
  // Numbers below the overview that would lie upon each other are written together.
  const below = new Map();
  let last = null;
  for (const { p0, p1, number } of [...framed].sort((one, two) => one.p0 + one.p1 - two.p0 - two.p1)) {
    const x = (((p0 + p1) / 2) * size.total) / N;
    if (last && x - last.x < 14) below.set(last.number, `${below.get(last.number)} ${number}`);
    else {
      last = { x, number };
      below.set(number, number);
    }
  }
  if (marked) framed.push({ ...marked, rows: [marked.r0, marked.r1], number: "", shown: 1, dash: [5, 3] });
  return framed.map(({ p0, p1, rows, number, shown, dash }) => ({
    x0: p0, x1: p1, xc: (p0 + p1) / 2, xs: Math.max(p0, state.a), y0: rows[0], y1: Math.min(many, rows[1]), number, shown, dash, below: below.get(number) ?? "",
    inside: number && p1 > state.a && p0 < state.b ? shown : 0,
  }));
}

function pinReading({ kind, r0, reading }) {
  return inReading(reading, (rows) => {
    if (kind === "w") return `attention weights of ${rowName(rows[r0])}`;
    if (state.view === "lens") return `${statName()}${otherSite() ? `, ${siteShown()} output` : ""}, one row a layer`;
    if (state.rows === "heads") return `${statName()} of layer ${report.layers[state.layer]}, one row a head`;
    return `${statName()}, ${state.head < 0 ? "mean over heads" : `head ${headName(state.head)}`}, one row a layer`;
  });
}

function pinTitle(pin) {
  const { kind, r0, r1, p0, p1 } = pin;
  const positions = p1 - p0 === 1 ? `position ${count(p0)}` : `positions ${span(p0, p1)}`;
  if (kind === "c") return `${positions}${texts.full(p0) ? ` · ${texts.full(p0)}` : ""}`;
  if (kind === "w") return p1 - p0 === 1 ? `query ${count(p0)}` : `queries ${span(p0, p1)}`;
  return inReading(pin.reading, (rows) => {
    const [low, high] = [rows[r0].label, rows[r1 - 1].label];
    const what = state.view === "attention" && state.rows === "heads" ? "head" : "layer";
    return `${positions}, ${low === high ? `${what} ${low}` : `${what}s ${low}–${high}`}`;
  });
}

const tag = (name, text = "", properties = {}) => Object.assign(document.createElement(name), { textContent: text, ...properties });
const heading = (text, scope) => {
  const made = tag("th", "", { scope });
  made.append(tag("bdi", text));
  return made;
};

// A cell in the colour of its value, which stands below the text that the cell says.
function shaded(number, colours, { text = "", title = "" } = {}) {
  const made = tag("td", "", { title });
  if (text) made.append(tag("bdi", text));
  made.append(tag("span", number));
  made.style.background = hex(colours);
  made.style.color = ink(colours);
  return made;
}

const valueColour = (value) => colour(value, scaleShown(), state.palette);

// A cell's value as it is written: what stands for several positions says so, and so does a gap.
function valueCell(row, position, text = "") {
  const value = entropyAt(row, position), held = !inLayer(row) || row.plane.at(row.at, position) !== undefined;
  const number = Number.isFinite(value) ? `${held ? "" : "≈ "}${digits(value, row.plane.error, 2)}` : "–";
  return shaded(number, valueColour(value), { text, title: held && Number.isFinite(value) ? "" : describe(row, position).join("\n") });
}

function tableOf(title, head, body) {
  const table = tag("table"), top = tag("tr"), whole = tag("thead"), rest = tag("tbody");
  top.append(...head.map((name) => heading(name, "col")));
  whole.append(top);
  rest.append(...body.map(([name, ...cells]) => {
    const line = tag("tr");
    line.append(heading(name, "row"), ...cells);
    return line;
  }));
  table.append(tag("caption", title, { className: "off" }), whole, rest);
  return table;
}

const rowKind = () => (state.view === "attention" && state.rows === "heads" ? "head" : "layer");

function columnTable(pin, rows) {
  const lens = state.view === "lens", p = pin.p0;
  const probability = (row) => {
    if (lens) return likeliest(row, p, 0)?.p;
    return row.head >= 0 && data.maxProb && headDetails.slot(p) >= 0 ? data.maxProb.at(row.entry, row.head, headDetails.slot(p)) : undefined;
  };
  const known = !["probability", "max_prob"].includes(statShown()) && rows.some((row) => probability(row) !== undefined), { unit } = scaleShown();
  const said = rows.map((row) => cellText(row, p)), worded = said.some(Boolean);
  const head = [rowKind(), ...(worded ? [lens ? "likeliest token" : "attends most to"] : []), `${statName()}${unit ? ` (${unit})` : ""}`, ...(known ? [lens ? "probability" : "weight"] : [])];
  const body = rows.map((row, r) => {
    const share = probability(row), cells = [valueCell(row, p)];
    if (worded) {
      cells.unshift(tag("td"));
      cells[0].append(tag("bdi", said[r]));
    }
    if (known) cells.push(tag("td", Number.isFinite(share) ? share.toFixed(3) : "–", { className: "number" }));
    return [row.label, ...cells];
  });
  return { head, body: body.reverse(), note: "" };
}

// Cells one by one where they are few enough, else the mean of blocks of equal size.
function rectangleTable({ r0, r1, p0, p1 }, rows) {
  const tall = Math.ceil((r1 - r0) / PIN_ROWS), wide = Math.ceil((p1 - p0) / PIN_COLUMNS), one = tall * wide === 1;
  const head = [rowKind()], body = [];
  for (let p = p0; p < p1; p += wide) head.push(wide === 1 ? cut(texts.token(p), 12) || count(p) : span(p, Math.min(p1, p + wide)));
  for (let r = r0; r < r1; r += tall) {
    const group = rows.slice(r, Math.min(r1, r + tall)), cells = [group.length > 1 ? `${group[0].label}–${group[group.length - 1].label}` : group[0].label];
    for (let p = p0; p < p1; p += wide) {
      if (one) cells.push(valueCell(group[0], p, cut(cellText(group[0], p), 12)));
      else {
        const mean = gather(0, group.length, 0, (i) => entropyOver(group[i], p, Math.min(p1, p + wide)));
        cells.push(shaded(Number.isFinite(mean) ? mean.toFixed(2) : "–", valueColour(mean)));
      }
    }
    body.push(cells);
  }
  const what = [tall > 1 ? `${tall} ${rowKind()}s` : "", wide > 1 ? `${count(wide)} positions` : ""].filter(Boolean).join(" × ");
  return { head, body: body.reverse(), note: one ? "" : `Too large to show cell by cell: each cell is the mean of ${what}.` };
}

// Queries × the keys that the last of them attends to most, and what is left for all others.
function weightTable({ r0, p0, p1 }, rows) {
  const exact = exactWindow(p1 - 1), row = rows[r0];
  if (!exact) return { head: [], body: [], note: `No exact weights of these queries in the page. ${weightsHeld()}` };
  const read = (q, k) => weight(exact, row.entry, row.head, q, k), last = Math.min(p1, exact.firstKey + exact.keys);
  const keys = Array.from({ length: last - exact.firstKey }, (_, i) => i + exact.firstKey)
    .sort((i, j) => read(p1 - 1, j) - read(p1 - 1, i) || i - j).slice(0, PIN_COLUMNS).sort((i, j) => i - j);
  const name = (p) => `${count(p)} ${cut(texts.token(p), 12)}`.trim();
  const cellOf = (p) => shaded(Number.isFinite(p) ? p.toFixed(3) : "–", colour(p, SHARE, "weight"));
  const body = [];
  for (let q = p0; q < p1; q++) {
    const seen = keys.filter((k) => k <= q || !report.causal), sum = seen.reduce((all, k) => all + read(q, k), 0);
    body.push([name(q), ...keys.map((k) => (seen.includes(k) ? cellOf(read(q, k)) : tag("td", "", { title: "not visible: the key comes later" }))), tag("td", Math.max(0, 1 - sum).toFixed(3), { className: "number" })]);
  }
  const some = isMean(exact) && row.head >= 0 ? " The trace holds the mean over heads only: that is shown." : "";
  return { head: ["query", ...keys.map(name), "all other keys"], body, note: `The keys that query ${count(p1 - 1)} attends to most.${some}` };
}

const PIN_TABLES = { c: columnTable, r: rectangleTable, w: weightTable };

function pinCard(pin, i) {
  const title = pinTitle(pin), what = pinReading(pin), card = tag("div", "", { className: "pin" });
  const { head, body, note } = inReading(pin.reading, (rows) => PIN_TABLES[pin.kind](pin, rows));
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", `Inset ${i + 1}`);
  const top = tag("div", "", { className: "pin-top" }), name = tag("p");
  name.append(tag("b", `${i + 1}`, { className: "pin-number" }), tag("bdi", title), tag("span", what));
  const show = tag("button", "Show", { type: "button", onclick: () => showPin(pin) });
  const remove = tag("button", "Remove", { type: "button", className: "unpin", onclick: () => unpin(pin) });
  show.setAttribute("aria-label", `Show inset ${i + 1} in the figure`);
  remove.setAttribute("aria-label", `Remove inset ${i + 1}`);
  top.append(name, show, remove);
  card.append(top);
  if (body.length) {
    const box = tag("div", "", { className: "scroll", tabIndex: 0 });
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `Values of inset ${i + 1}`);
    box.append(tableOf(`${title}: ${what}`, head, body));
    card.append(box);
  }
  if (body.flat().some((cell) => cell.lastChild?.textContent.startsWith("≈"))) card.append(tag("p", "≈: the mean of several positions; single ones are not in the page here.", { className: "hint" }));
  if (note) card.append(tag("p", note, { className: "hint" }));
  return card;
}

function drawPins() {
  // Another statistic's values may have to be unpacked first.
  const unread = state.pins.map(({ reading }) => inReading(reading, () => !statisticReady() && prepareStatistic())).filter(Boolean);
  if (unread.length) {
    Promise.all(unread).then(drawPins);
    return;
  }
  const key = [state.palette, ...state.pins.map(pinText)].join();
  if (key === pinsKey) return;
  pinsKey = key;
  $("pins-cards").replaceChildren(...state.pins.map(pinCard));
}

// Search for a text in the tokens, also across neighbouring ones; a match is a run of tokens.
const MOST_TICKS = 500, LONGEST_SEARCH = 100, GAP = "\0";
let spelled = null;
let matches = { text: "", starts: [], ends: [] };

// Blanks and their marks are one letter: `_` is how a token's leading blank is written.
const folded = (text) => text.replace(/[\u2066-\u2069\0]/g, "").replace(/[␣⍽_]/g, " ").toLowerCase();

// All tokens as one text, and where each begins in it. No match goes over a gap in what is held.
function spell() {
  const known = new Map(), parts = new Array(N), begins = new Int32Array(N + 1);
  let at = 0, missing = 0;
  for (let p = 0; p < N; p++) {
    const text = texts.full(p);
    if (!known.has(text)) known.set(text, text ? folded(text) : GAP);
    parts[p] = known.get(text);
    if (!text) missing++;
    begins[p] = at;
    at += parts[p].length;
  }
  begins[N] = at;
  return { all: parts.join(""), begins, missing };
}

function findMatches(text) {
  spelled ??= spell();
  const { all, begins } = spelled, wanted = folded(text), starts = [], ends = [];
  let token = 0;
  for (let at = wanted ? all.indexOf(wanted) : -1; at >= 0; at = all.indexOf(wanted, at + wanted.length)) {
    while (begins[token + 1] <= at) token++;
    let end = token + 1;
    while (begins[end] < at + wanted.length) end++;
    if (starts[starts.length - 1] !== token) { starts.push(token); ends.push(end); }
  }
  return { text, starts, ends };
}

// The first match that begins at a position or after it, by halving.
function matchFrom(position) {
  let low = 0, high = matches.starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (matches.starts[middle] < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

function drawMatches() {
  if (matches.text !== state.find) matches = findMatches(state.find);
  const { starts, ends } = matches, every = Math.ceil(starts.length / MOST_TICKS) || 1;
  const at = matchFrom(state.col), here = starts[at] === state.col ? at : -1;
  const tick = (i) => ({ xc: (starts[i] + ends[i]) / 2, wide: i === here ? 4 : starts.length > 150 ? 1 : 1.5 });
  const ticks = [];
  for (let i = 0; i < starts.length; i += every) ticks.push(tick(i));
  if (here >= 0) ticks.push(tick(here));
  view.data("matches", ticks);
  const part = [];
  // One match before the section may reach into it.
  for (let i = Math.max(0, matchFrom(state.a) - 1); i < starts.length && starts[i] < state.b && part.length < MOST_TICKS; i++) {
    part.push({ x0: starts[i], x1: ends[i] });
  }
  view.data("matchespart", part);
  countMatches(here);
}

function countMatches(here) {
  const many = matches.starts.length, where = here >= 0 ? `${count(here + 1)} of ${count(many)}` : many === 1 ? "1 match" : `${count(many)} matches`;
  const missing = spelled?.missing ? ` (${count(spelled.missing)} tokens whose text is not in the page are not searched)` : "";
  const text = state.find ? `${many ? where : "no match"}${missing}` : "";
  if ($("search-count").textContent !== text) $("search-count").textContent = text;
  for (const id of ["search-previous", "search-next"]) $(id).disabled = !many;
}

// The next match after the selected cell, or the one before it; around the ends.
function toMatch(by) {
  const { starts } = matches, many = starts.length;
  if (!many) return;
  const from = matchFrom(by > 0 ? state.col + 1 : state.col), to = (from + (by > 0 ? 0 : -1) + many) % many, position = starts[to];
  const half = (state.b - state.a) / 2;
  if (position < state.a || matches.ends[to] > state.b) moveSection(position - half, position + half);
  select(position);
  draw();
}

function searchControls() {
  const input = $("search");
  input.addEventListener("input", () => {
    state.find = input.value.slice(0, LONGEST_SEARCH);
    draw();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) {
      event.preventDefault();
      toMatch(event.shiftKey ? -1 : 1);
    }
    if (event.key === "Escape") $("figure").focus();
  });
  $("search-previous").addEventListener("click", () => toMatch(-1));
  $("search-next").addEventListener("click", () => toMatch(1));
}

// A page of two traces: what a cell says of A and of B. `report.compare` holds what both are called,
// and data.kind which columns are of both (0), of A alone (1), of B alone (2).
const SIDES = ["A", "B"];
let placesOf = null;

// Where a column is in A and in B; -1: the side has no token here.
function places(column) {
  if (!placesOf) {
    placesOf = [new Int32Array(N), new Int32Array(N)];
    const next = [0, 0];
    for (let i = 0; i < N; i++) {
      const kind = data.kind.get(i);
      placesOf.forEach((at, side) => { at[i] = kind === 2 - side ? -1 : next[side]++; });
    }
  }
  return placesOf.map((at) => at[column]);
}

// One side's value; undefined where the page does not hold it.
function valueOf(side, row, column) {
  const single = row.head >= 0, packed = data[single ? "headsSides" : `${state.view}Sides`];
  const slot = (single ? headDetails : details).slot(column);
  if (!packed || slot < 0) return undefined;
  return single ? packed.at(side, row.entry, row.head, slot) : packed.at(side, row.entry, slot);
}

// The likeliest, or the most attended token of both sides; "" where there is none.
function pairOf(row, column) {
  if (state.view === "lens") {
    return [0, 1].map((side) => { const best = likeliest(row, column, side); return best ? word(best.id) : ""; });
  }
  return [data.topKey, data.topKeyB].map((keys) => { const key = topKey(row, column, keys); return key < 0 ? "" : texts.token(key); });
}

// Both in a cell of so many letters, what the shorter one leaves of its half is the other's; one
// where they are the same, nothing where a side has none.
function pairText([a, b], letters) {
  if (!a || !b) return "";
  if (a === b) return cut(a, letters);
  if (letters < 5) return "≠";
  const room = letters - 1, first = Math.min([...a].length, Math.max(Math.floor(room / 2), room - [...b].length));
  return `${cut(a, first)}→${cut(b, room - first)}`;
}

// A over B, where each of the inset's cells has room for two lines and one is too short for both.
function stackedText([a, b], letters) {
  const both = [...a].length + [...b].length < letters;
  return !a || !b || a === b || both ? pairText([a, b], letters) : [cut(a, letters), cut(b, letters)];
}

function describeBoth(row, column) {
  const at = places(column), kind = data.kind.get(column), role = texts.role(column);
  const where = kind ? `position ${count(at[kind - 1])}, only in ${SIDES[kind - 1]}` : at[0] === at[1] ? `position ${count(at[0])}` : `position ${count(at[0])} in A, ${count(at[1])} in B`;
  const lines = [`${rowName(row)} · ${where} · ${texts.full(column)} (${role})`];
  const what = state.view === "lens" ? "lens entropy" : "attention entropy";
  const value = inLayer(row) ? row.plane.at(row.at, column) : NaN;
  if (kind) lines.push(`no difference: ${SIDES[2 - kind]} has no token here`);
  else if (value === undefined) lines.push(...describeTile(row, column, `B − A of ${what}`));
  else if (Number.isFinite(value)) lines.push(`B − A = ${value > 0 ? "+" : ""}${nats(value, 0)}`);
  else lines.push("no difference: not measured on both sides");
  const shares = SIDES.map((name, side) => {
    if (at[side] < 0 || !inLayer(row)) return NaN;
    const own = valueOf(side, row, column);
    if (own === undefined) return NaN;
    const seen = state.view === "attention" ? visibleKeys(row.entry, at[side], report.compare.visible[side]) : null;
    const share = seen > 1 ? own / Math.log(seen) : NaN;
    const range = Number.isFinite(share) ? `, ${(share * 100).toFixed(1)} % of ln ${count(seen)} visible keys` : "";
    lines.push(`${name}: ${what} ${nats(own, 0)}${range}${tokenOf(side, row, column)}`);
    return share;
  });
  const change = (shares[1] - shares[0]) * 100;
  if (at[0] !== at[1] && Number.isFinite(change)) lines.push(`normalized B − A = ${change > 0 ? "+" : ""}${change.toFixed(1)} % of ln(visible)`);
  return lines;
}

function tokenOf(side, row, column) {
  if (state.view === "lens") {
    const best = likeliest(row, column, side);
    if (!best || best.id < 0) return "";
    return `, likeliest ${wordFull(best.id)}${Number.isFinite(best.p) ? ` (${(best.p * 100).toFixed(1)} %)` : ""}`;
  }
  const key = topKey(row, column, side ? data.topKeyB : data.topKey);
  return key < 0 ? "" : `, ${row.head < 0 ? "most heads attend most to" : "attends most to"} ${texts.full(key)} (position ${count(places(key)[side])})`;
}

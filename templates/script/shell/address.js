// The state in the address bar, so that a link shares the view; and the page's controls.
const LONGEST_ADDRESS = 2000;

// What an address may say, and what it must be: anything else is as if it were not there.
const oneOf = (known) => (text) => (known.includes(text) ? text : undefined);
const whole = (low, end) => (text) => (/^-?\d{1,9}$/.test(text) && Number(text) >= low && Number(text) < end ? Number(text) : undefined);
const FIELDS = {
  view: oneOf(report.views), rows: oneOf(["layers", "heads"]), layer: whole(0, report.layers.length), head: whole(-1, report.heads),
  palette: oneOf(["diverging", "cividis"]), a: whole(0, N), b: whole(1, N + 1), col: whole(0, N),
  row: whole(0, Math.max(report.layers.length, report.heads)), mapLayer: whole(0, report.layers.length),
  mapHead: whole(-1, Math.max(report.heads, report.mapHeads)), mapWindow: whole(0, 99), values: oneOf(["weight", "entropy"]), how: oneOf(Object.keys(HOW)),
  stat: oneOf(["entropy", ...Object.values(report.statistics).flatMap(Object.keys)]), site: oneOf(SITES),
};
const REGION = { q0: whole(0, N), q1: whole(1, N + 1), k0: whole(0, N), k1: whole(1, N + 1) };
let opening = null;

function keepOpening() {
  opening = { state: { ...state }, region: { ...region } };
}

function remember() {
  const parts = Object.keys(FIELDS).map((name) => `${name}=${state[name]}`);
  if (report.map) parts.push(...Object.keys(REGION).map((name) => `${name}=${region[name]}`));
  if (state.pins.length) parts.push(`pin=${state.pins.map(pinText).join(";")}`);
  const found = state.find ? [`find=${encodeURIComponent(state.find.toWellFormed())}`] : [];
  const longer = [...parts, ...found].join("&"), fragment = longer.length < LONGEST_ADDRESS ? longer : parts.join("&");
  if (location.hash.slice(1) !== fragment) history.replaceState(null, "", `#${fragment}`);
}

// The state that an address tells of, the rest as the page opened; false where it tells of none.
function recall() {
  const given = new URLSearchParams(location.hash.slice(1, 2 * LONGEST_ADDRESS));
  const known = [...Object.keys(FIELDS), ...Object.keys(REGION), "pin", "find"];
  if (!known.some((name) => given.has(name))) return false;
  const read = (into, fields) => {
    for (const [name, valid] of Object.entries(fields)) {
      const value = given.has(name) ? valid(given.get(name)) : undefined;
      if (value !== undefined) into[name] = value;
    }
  };
  Object.assign(state, opening.state);
  Object.assign(region, opening.region);
  read(state, FIELDS);
  if (state.b <= state.a) state.b = Math.min(N, state.a + 1);
  read(region, REGION);
  for (const axis of ["q", "k"]) {
    if (region[`${axis}1`] <= region[`${axis}0`]) region[`${axis}1`] = Math.min(N, region[`${axis}0`] + 1);
  }
  const find = given.get("find") ?? "";
  state.find = find.length <= LONGEST_SEARCH ? find : "";
  const pins = (given.get("pin") ?? "").split(";").map(pinFrom).filter(Boolean);
  state.pins = pins.filter((pin, i) => pins.findIndex((other) => pinText(other) === pinText(pin)) === i).slice(0, MOST_PINS);
  return true;
}

// A pasted link, or the way back.
function follow() {
  if (!recall()) return;
  reflect();
  drawAll();
}

// The choosers, what of the state each sets, and how its value is read.
const CHOOSERS = [
  ["stat", "stat", String], ["site", "site", String], ["rows", "rows", String], ["layer", "layer", Number], ["head", "head", Number], ["palette", "palette", String], ["how", "how", String],
  ["map-layer", "mapLayer", Number], ["map-head", "mapHead", Number], ["map-window", "mapWindow", Number], ["map-values", "values", String], ["search", "find", String],
];

function controls() {
  const bind = (id, name, read) => {
    const element = $(id);
    if (!element) return;
    element.addEventListener("change", () => { state[name] = read(element.value); reflect(); drawAll(); });
  };
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => { state.view = button.dataset.view; reflect(); draw(); });
  }
  for (const [id, name, read] of CHOOSERS) bind(id, name, read);
  for (const link of document.querySelectorAll("[data-finding]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const found = report.observations[Number(link.dataset.finding)];
      if (report.views.includes(found.view)) state.view = found.view;
      [state.site = ""] = SITES;
      state.stat = found.stat;
      state.stat = statShown();
      const head = found.head === null ? -1 : report.headNames.indexOf(found.head);
      if (head >= 0) { state.rows = "layers"; state.head = head; }
      if (found.position !== null) select(found.position);
      if (found.layer !== null) state.row = found.layer;
      reflect();
      draw();
      $("figure").scrollIntoView({ block: "nearest" });
    });
  }
}

// The controls of what comes later in the page.
function controlsBelow() {
  if (report.map) mapControls();
  if (report.spread) spreadControls();
  if (report.scores) rosterControls();
}

function reflect() {
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === state.view));
  }
  const attention = state.view === "attention";
  if ($("attention-controls")) $("attention-controls").hidden = !attention;
  if ($("layer")) $("layer").disabled = state.rows !== "heads";
  if ($("head")) $("head").disabled = state.rows === "heads";
  for (const [id, name] of CHOOSERS) {
    if ($(id)) $(id).value = String(state[name]);
  }
  reflectStatistic();
}

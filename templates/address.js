// The state in the address bar, so that a link shares the view; and the page's controls.
const SHARED = ["view", "rows", "layer", "head", "palette", "a", "b", "col", "row", "mapLayer", "mapHead", "stat", "site"];

function remember() {
  const parts = SHARED.map((name) => `${name}=${state[name]}`);
  if ($("how")) parts.push(`how=${state.how}`);
  if (report.map) parts.push(...Object.entries(region).map(([name, value]) => `${name}=${value}`));
  const fragment = parts.join("&");
  if (location.hash.slice(1) !== fragment) history.replaceState(null, "", `#${fragment}`);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1));
  const whole = (into, name, low, high) => {
    const value = Number(given.get(name));
    if (given.has(name) && Number.isInteger(value) && value >= low && value < high) into[name] = value;
  };
  const oneOf = (name, known) => { if (known.includes(given.get(name))) state[name] = given.get(name); };
  oneOf("view", report.views);
  oneOf("rows", ["layers", "heads"]);
  oneOf("palette", ["diverging", "cividis"]);
  oneOf("how", Object.keys(HOW));
  oneOf("stat", ["entropy", ...Object.values(report.statistics).flatMap(Object.keys)]);
  oneOf("site", SITES);
  whole(state, "layer", 0, report.layers.length);
  whole(state, "mapLayer", 0, report.layers.length);
  whole(state, "head", -1, report.heads);
  whole(state, "mapHead", -1, Math.max(report.heads, report.mapHeads));
  whole(state, "col", 0, N);
  whole(state, "row", 0, Math.max(report.layers.length, report.heads));
  whole(state, "a", 0, N);
  whole(state, "b", state.a + 1, N + 1);
  if (state.b <= state.a) state.b = Math.min(N, state.a + 1);
  for (const axis of ["q", "k"]) {
    whole(region, `${axis}0`, 0, N);
    whole(region, `${axis}1`, region[`${axis}0`] + 1, N + 1);
    if (region[`${axis}1`] <= region[`${axis}0`]) region[`${axis}1`] = Math.min(N, region[`${axis}0`] + 1);
  }
}

function controls() {
  const bind = (id, name, read) => {
    const element = $(id);
    if (!element) return;
    element.value = String(state[name]);
    element.addEventListener("change", () => { state[name] = read(element.value); reflect(); drawAll(); });
  };
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => { state.view = button.dataset.view; reflect(); draw(); });
  }
  bind("rows", "rows", String);
  bind("layer", "layer", Number);
  bind("head", "head", Number);
  bind("palette", "palette", String);
  bind("how", "how", String);
  bind("stat", "stat", String);
  bind("site", "site", String);
  bind("map-layer", "mapLayer", Number);
  bind("map-head", "mapHead", Number);
  bind("map-values", "values", String);
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
  reflectStatistic();
  if ($("attention-controls")) $("attention-controls").hidden = !attention;
  if ($("layer")) $("layer").disabled = state.rows !== "heads";
  if ($("head")) { $("head").disabled = state.rows === "heads"; $("head").value = String(state.head); }
  if ($("rows")) $("rows").value = state.rows;
}

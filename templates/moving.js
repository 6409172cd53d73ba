// Moving the frame and the selected cell, with the pointer and without.
// A chart's corner on its canvas, in the chart's own pixels.
function origin(chart) {
  const [x, y] = chart.origin(), padding = chart.padding();
  return [x + padding.left, y + padding.top];
}

// Where a pointer is on a chart, in the chart's pixels, however the canvas is scaled.
function pointer(chart, canvas, event) {
  const box = canvas.getBoundingClientRect(), [left, top] = origin(chart);
  const scale = canvas.dataset.width ? Number(canvas.dataset.width) / box.width : 1;
  return { x: (event.clientX - box.left) * scale - left, y: (event.clientY - box.top) * scale - top };
}

// Where in the figure a pointer is: {part, x, y} with x in positions and y in rows.
function locate(event) {
  const { x, y } = pointer(view, $("canvas").querySelector("canvas"), event);
  if (y >= -8 && y <= size.overview + 8 && x >= -6 && x <= size.total + 6) {
    return { part: "overview", x: (x / size.total) * N, y: (1 - y / size.overview) * rowsShown().length };
  }
  const sy = y - size.overview - size.above, sx = x - size.left;
  if (sy >= 0 && sy < size.height && sx >= 0 && sx < size.section) {
    return { part: "section", x: state.a + (sx / size.section) * (state.b - state.a), y: (1 - sy / size.height) * rowsShown().length };
  }
  return { part: null };
}

function listen(canvas) {
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    const at = locate(event);
    if (at.part === "section") {
      select(Math.floor(at.x), Math.floor(at.y));
      draw();
    }
    if (at.part !== "overview") return;
    const edge = (8 / size.total) * N, inside = at.x > state.a - edge && at.x < state.b + edge;
    // A frame too narrow for edges of its own can be moved and not stretched.
    const wide = state.b - state.a > 3 * edge;
    const kind = wide && Math.abs(at.x - state.a) < edge ? "a" : wide && Math.abs(at.x - state.b) < edge ? "b" : "move";
    if (kind === "move" && !inside) moveSection(at.x - (state.b - state.a) / 2, at.x + (state.b - state.a) / 2);
    drag = { kind, from: at.x, a: state.a, b: state.b };
    silence();
    canvas.setPointerCapture(event.pointerId);
    soon();
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = locate(event);
    if (drag) {
      if (at.part !== "overview") at.x = (pointer(view, canvas, event).x / size.total) * N;
      const by = at.x - drag.from;
      if (drag.kind === "move") moveSection(drag.a + by, drag.b + by);
      if (drag.kind === "a") moveSection(Math.max(0, Math.min(drag.a + by, drag.b - 1)), drag.b);
      if (drag.kind === "b") state.b = Math.max(state.a + 1, Math.min(N, Math.round(drag.b + by)));
      soon();
      return;
    }
    if (at.part === null) { silence(); return; }
    const rows = rowsShown();
    const row = Math.max(0, Math.min(rows.length - 1, Math.floor(at.y)));
    say(describe(rows[row], Math.max(0, Math.min(N - 1, Math.floor(at.x)))), event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, () => {
      if (drag) draw();
      drag = null;
    });
  }
  canvas.addEventListener("pointerleave", silence);
}

function keys(event) {
  const step = event.shiftKey ? 10 : 1;
  const zoom = Math.max(1, Math.round((state.b - state.a) / 10));
  const moves = {
    ArrowLeft: () => select(state.col - step), ArrowRight: () => select(state.col + step),
    ArrowUp: () => select(state.col, state.row + 1), ArrowDown: () => select(state.col, state.row - 1),
    "+": () => moveSection(state.a + zoom, state.b - zoom), "-": () => moveSection(state.a - zoom, state.b + zoom),
  };
  if (!moves[event.key] || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  moves[event.key]();
  draw();
}

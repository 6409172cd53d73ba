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

const INSET_LABELS = 44; // pixels to its left that its labels take

// Where in the figure a pointer is: {part, x, y} with x in positions and y in rows; in the inset x is
// the position that it shows, y and `across` are shares of its height and width.
function locate(event) {
  const { x, y } = pointer(view, $("canvas").querySelector("canvas"), event);
  if (y >= -8 && y <= size.overview + 8 && x >= -6 && x <= size.total + 6) {
    return { part: "overview", x: (x / size.total) * N, y: (1 - y / size.overview) * rowsShown().length, bin: overviewBin() };
  }
  const sx = x - size.left, sy = y - size.overview - size.above;
  if (sy >= 0 && sy < size.height && x >= -INSET_LABELS && x < size.inset) return { part: "inset", x: state.col + 0.5, y: 1 - sy / size.height, across: Math.max(0, x) / size.inset };
  if (sy >= 0 && sy < size.height && sx >= 0 && sx < size.section) return { part: "section", ...inSection(sx, sy), bin: sectionBin };
  return { part: null };
}

// A point of the section, the nearest one for what lies outside of it.
function inSection(sx, sy) {
  const across = Math.max(0, Math.min(size.section - 1, sx)) / size.section, down = Math.max(0, Math.min(size.height - 1, sy)) / size.height;
  return { x: state.a + across * (state.b - state.a), y: (1 - down) * rowsShown().length };
}

const nearestInSection = (canvas, event) => {
  const { x, y } = pointer(view, canvas, event);
  return inSection(x - size.left, y - size.overview - size.above);
};

// What a drag does with each event: `move` while it goes on, `end` where it is let go.
function dragFrame(at) {
  const edge = (8 / size.total) * N, inside = at.x > state.a - edge && at.x < state.b + edge;
  // A frame too narrow for edges of its own can be moved and not stretched.
  const wide = state.b - state.a > 3 * edge;
  const kind = wide && Math.abs(at.x - state.a) < edge ? "a" : wide && Math.abs(at.x - state.b) < edge ? "b" : "move";
  if (kind === "move" && !inside) moveSection(at.x - (state.b - state.a) / 2, at.x + (state.b - state.a) / 2);
  const { a, b } = state;
  return {
    move(canvas, event) {
      const by = (pointer(view, canvas, event).x / size.total) * N - at.x;
      if (kind === "move") moveSection(a + by, b + by);
      if (kind === "a") moveSection(Math.max(0, Math.min(a + by, b - 1)), b);
      if (kind === "b") state.b = Math.max(state.a + 1, Math.min(N, Math.round(b + by)));
    },
    end() {},
  };
}

// Over cells a drag frames them, to be pinned; a click selects one. A finger moves the section.
const CLICK = 5; // pixels that a click may tremble

function dragCells(at, pressed) {
  const { a, b } = state;
  let moved = false;
  return {
    move(canvas, event) {
      moved ||= Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > CLICK;
      if (!moved) return;
      if (pressed.pointerType === "touch") {
        const by = ((pressed.clientX - event.clientX) / size.section) * (b - a);
        moveSection(a + by, b + by);
        return;
      }
      const to = nearestInSection(canvas, event), floor = Math.floor, { min, max } = Math;
      marked = { r0: floor(min(at.y, to.y)), r1: floor(max(at.y, to.y)) + 1, p0: floor(min(at.x, to.x)), p1: floor(max(at.x, to.x)) + 1 };
      marked.r1 = min(marked.r1, rowsShown().length);
    },
    end() {
      if (!moved) select(Math.floor(at.x), Math.min(rowsShown().length - 1, Math.floor(at.y)));
      if (marked) pin("r", marked.r0, marked.r1, marked.p0, marked.p1);
    },
  };
}

// Two fingers: the section is wider the closer they come, about the point between them.
function dragPinch(canvas, fingers) {
  const apart = () => { const [one, two] = [...fingers.values()]; return Math.max(20, Math.abs(one.clientX - two.clientX)); };
  const [one, two] = [...fingers.values()], first = apart(), width = state.b - state.a;
  const about = nearestInSection(canvas, { clientX: (one.clientX + two.clientX) / 2, clientY: one.clientY }).x;
  return { move() { zoomTo((width * first) / apart(), about); }, end() {} };
}

let drag = null;

function dropDrag() {
  marked = drag = null;
}

function listen(canvas) {
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = locate(event);
    fingers.set(event.pointerId, event);
    marked = null;
    if (fingers.size === 2) drag = dragPinch(canvas, fingers);
    else drag = { overview: dragFrame, section: dragCells }[at.part]?.(at, event) ?? null;
    if (at.part === "inset") say(describeInset(at), event);
    if (!drag) return;
    silence();
    canvas.setPointerCapture(event.pointerId);
    soon();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
    if (drag) {
      drag.move(canvas, event);
      soon();
      return;
    }
    const at = locate(event);
    if (at.part === null) { silence(); return; }
    if (at.part === "inset") { say(describeInset(at), event); return; }
    const rows = rowsShown(), position = Math.max(0, Math.min(N - 1, Math.floor(at.x)));
    const row = rows[Math.max(0, Math.min(rows.length - 1, Math.floor(at.y)))];
    say([...describe(row, position), ...describeDrawn(row, position, at.bin)], event);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      fingers.delete(event.pointerId);
      if (!drag) return;
      if (name === "pointerup") drag.end();
      dropDrag();
      draw();
    });
  }
  canvas.addEventListener("pointerleave", silence);
  // A finger on the overview drags; elsewhere it may scroll the page.
  canvas.addEventListener("touchstart", (event) => {
    if (locate(event.touches[0]).part === "overview") event.preventDefault();
  }, { passive: false });
  listenWheel(canvas);
}

// The wheel with Ctrl, which is also what a pinch on a touchpad sends.
function listenWheel(canvas) {
  let wished = null, settle = 0;
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const at = locate(event), by = Math.max(-50, Math.min(50, event.deltaY));
    wished = Math.max(1, Math.min(N, (wished ?? state.b - state.a) * Math.exp(by / 100)));
    zoomTo(wished, at.part ? at.x : (state.a + state.b) / 2);
    soon();
    clearTimeout(settle);
    settle = setTimeout(() => { wished = null; draw(); }, 200);
  }, { passive: false });
}

// Entropy against the position: the heads of one layer under the logarithm of the visible keys.
let spreadView = null, spreadValues = null;
const spreadState = { layer: 0 };

function drawSpread() {
  if (!spreadView) return;
  const { every } = report.spread, tiles = spreadValues.shape[2], points = [];
  for (let t = 0; t < tiles; t++) {
    const [mean, low, high] = [0, 1, 2].map((kind) => spreadValues.at(kind, spreadState.layer, t));
    if (Number.isFinite(mean)) points.push({ x: Math.min(N, (t + 0.5) * every), mean, low, high });
  }
  spreadView.data("heads", points);
  const ceiling = [];
  for (let i = 0; i <= 130; i++) {
    const p = Math.min(N - 1, Math.round((i / 130) ** 3 * (N - 1))), seen = visibleKeys(spreadState.layer, p);
    if (seen >= 1) ceiling.push({ x: p + 0.5, y: Math.log(seen) });
  }
  spreadView.data("ceiling", ceiling);
  for (const [name, value] of Object.entries(theme())) spreadView.signal(name, value);
  spreadView.run();
  soonTwins();
}

async function startSpread() {
  spreadValues ??= await unpack(report.spread);
  spreadView = await chart("spread", "spread");
  drawSpread();
}

function spreadControls() {
  spreadState.layer = report.spread.layer;
  $("spread-layer").value = String(spreadState.layer);
  $("spread-layer").addEventListener("change", (event) => {
    spreadState.layer = Number(event.target.value);
    drawSpread();
  });
}

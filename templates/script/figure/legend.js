// The legend: colours, ticks, words at the ends, and the histogram of the values shown.
import { legendRows, legendTicks } from "../data/colours.js";
import { barsOf } from "../data/histogram.js";
import { state } from "../data/state.js";
import { scaleShown } from "../data/statistics.js";
import { figureView, layout } from "./canvas.js";
import { pageWidth } from "./chart.js";

// Letters that a telephone has room for in a line at the lower end.
const NARROW_END = 9;

// The words at the lower end as lines: two on a telephone, where the name of the strip stands next to them.
function lowerLines(words) {
  const at = pageWidth === "narrow" && words.length > NARROW_END ? words.lastIndexOf(" ") : -1;
  return at > 0 ? [words.slice(0, at), words.slice(at + 1)] : [words];
}

export function drawLegend() {
  const scale = scaleShown(), [first, last] = scale.ends, [low, high] = scale.fit_words.split(" of ");
  figureView.data("legend", legendRows(state.palette, scale));
  figureView.data("ticks", legendTicks(scale));
  figureView.data("legendtitle", [{ text: scale.title }]);
  const fitted = high && layout.bars ? [low, `of ${high}`] : [];
  const lower = lowerLines(first ?? "").map((text, i) => [layout.height + 15 + 11 * i, text]);
  const words = [[-13, last], ...lower, ...fitted.map((text, i) => [layout.height + 28 + 12 * i, text])];
  figureView.data("ends", words.filter(([, text]) => text).map(([y, text]) => ({ y, text })));
}

export function drawHistogram(...counts) {
  if (layout.bars) figureView.data("histogram", barsOf(...counts));
}

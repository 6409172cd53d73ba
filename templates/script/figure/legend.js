// The legend: colours, ticks, words at the ends, and the histogram of the values shown.
import { legendRows, legendTicks } from "../data/colours.js";
import { barsOf } from "../data/histogram.js";
import { state } from "../data/state.js";
import { scaleShown } from "../data/statistics.js";
import { figureView, layout } from "./canvas.js";

export function drawLegend() {
  const scale = scaleShown(), [first, last] = scale.ends, [low, high] = scale.fit_words.split(" of ");
  figureView.data("legend", legendRows(state.palette, scale));
  figureView.data("ticks", legendTicks(scale));
  figureView.data("legendtitle", [{ text: scale.title }]);
  const fitted = high && layout.bars ? [low, `of ${high}`] : [];
  const words = [[-13, last], [layout.height + 15, first], ...fitted.map((text, i) => [layout.height + 28 + 12 * i, text])];
  figureView.data("ends", words.filter(([, text]) => text).map(([y, text]) => ({ y, text })));
}

export function drawHistogram(...counts) {
  if (layout.bars) figureView.data("histogram", barsOf(...counts));
}

// The rows of a grid's datasets: frames, numbers and labels of the heads; report/figures has the same.
import { shorten } from "../data/format.js";
import { gridState, orderOf } from "./choice.js";
import { headTable, kindName, roleLabel } from "./heads.js";

// The frame of the cell at a place of a layer.
export function frameOf(size, layer, place, kind = "") {
  const [wide, high] = size.cell, [across, down] = size.picture;
  return { x0: place, x1: place + across / wide, y0: layer + 1 - down / high, y1: layer + 1, kind };
}

export function gridRows(size) {
  const [wide, high] = size.cell, [across, down] = size.picture, isRight = size.text === "right";
  const frames = [], numbers = [], labels = [];
  for (let layer = 0; layer < size.layers; layer++) {
    orderOf(layer).forEach((c, place) => {
      const value = headTable.score(gridState.score, layer, c), kind = kindName(layer, c);
      if (!Number.isFinite(value) && !headTable.picture(layer, c)) return;
      // Thin lines around small pictures would only blur them, and any hide what has no pixel.
      if (size.text || (kind && wide >= 1)) frames.push(frameOf(size, layer, place, kind));
      if (!size.text) return;
      const x = place + (across + 4) / wide;
      if (Number.isFinite(value)) {
        numbers.push({ x, y: layer + 1 - (isRight ? down / 2 - 7 : Math.min(8, down / 2)) / high, text: value.toFixed(2) });
      }
      if (kind) {
        const y = layer + 1 - (isRight ? down / 2 + 6 : down + 7) / high;
        labels.push({ x: isRight ? x : place, y, text: shorten(roleLabel(layer, c), size.letters), kind });
      }
    });
  }
  return { frames, numbers, labels };
}

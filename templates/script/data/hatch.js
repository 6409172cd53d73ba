// Diagonal lines where values are missing: white on grey; where only some are, grey on the colour.
import { GREY } from "./colours.js";

const HATCH_PERIOD = 6;
const wordOf = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
const GREY_COVER = wordOf(GREY);
const WHITE_LINE = wordOf([255, 255, 255]);

// What covers a pixel of a cell that has values for a `share` of its positions: 0 is nothing.
function coverAt(share, x, y) {
  const phase = (x + y) % HATCH_PERIOD;
  if (share >= 1) return 0;
  if (share <= 0) return phase === 0 ? WHITE_LINE : 0;
  return phase < Math.max(1, Math.min(HATCH_PERIOD - 1, Math.round(share * HATCH_PERIOD))) ? 0 : GREY_COVER;
}

// The picture of the lines over a view of `width` × `height` pixels, as rows of a dataset. `columnAt` gives
// the column of a pixel, `shareOf(row, column)` how much of a cell has values; `edges` are those of the rows.
export function hatchRows({ edges, columns, columnAt, shareOf, width, height, x0, x1 }) {
  const many = edges.length - 1, total = edges[many], shares = new Float32Array(many * columns);
  let isWhole = true;
  for (let r = 0; r < many; r++) {
    for (let c = 0; c < columns; c++) {
      const share = shareOf(r, c);
      shares[r * columns + c] = share;
      if (share < 1) isWhole = false;
    }
  }
  if (isWhole) return [];
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(width, height), words = new Uint32Array(pixels.data.buffer);
  const columnOf = Int32Array.from({ length: width }, (_, x) => Math.min(columns - 1, columnAt(x + 0.5)));
  for (let y = 0, r = many - 1; y < height; y++) {
    const up = ((height - y - 0.5) * total) / height;
    while (r > 0 && up < edges[r]) r--;
    for (let x = 0; x < width; x++) {
      const share = shares[r * columns + columnOf[x]];
      if (share < 1) words[y * width + x] = coverAt(share, x, y);
    }
  }
  context.putImageData(pixels, 0, 0);
  return [{ x0, x1, y0: 0, y1: total, image: canvas }];
}

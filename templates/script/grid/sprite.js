// The pictures of all heads as one canvas; a head without a picture has the colour of its score.
import { report } from "../data/page.js";
import { colourOf, SHARE } from "../data/colours.js";
import { darkMode, onPaper } from "../data/state.js";
import { gridState, orderOf } from "./choice.js";
import { headTable } from "./heads.js";

const BYTES = 256;

function packColour([r, g, b]) {
  return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// The colour of each byte: it is the square root of a mass, so that weak tiles can be told apart.
function byteColours(palette) {
  return Uint32Array.from({ length: BYTES }, (_, i) => packColour(colourOf(i / (BYTES - 1), SHARE, palette)));
}

const isDark = () => darkMode.matches && !onPaper.matches;

// The colour of a head's score.
function scoreColour(layer, c) {
  const { names = [] } = report.scores ?? {}, isEntropy = (names[gridState.score] ?? "").endsWith("entropy");
  const scale = (isEntropy && report.scales.attention) || SHARE;
  return colourOf(headTable.score(gridState.score, layer, c), scale, isEntropy ? "diverging" : "weight");
}

// Where each of `pixels` pixels starts among `tiles` tiles, and where the last one ends.
const tileEdges = (tiles, pixels) => Array.from({ length: pixels + 1 }, (_, i) => Math.floor((i * tiles) / pixels));

// A pixel that covers several tiles has the largest, so that a diagonal one tile wide stays whole.
function paintPicture(words, stride, box, picture, shades) {
  const { left, top, wide, high } = box, down = tileEdges(picture.rows, high), across = tileEdges(picture.columns, wide);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      let most = 0;
      for (let r = down[y]; r < Math.max(down[y] + 1, down[y + 1]); r++) {
        for (let k = across[x]; k < Math.max(across[x] + 1, across[x + 1]); k++) most = Math.max(most, picture.at(r, k));
      }
      words[(top + y) * stride + left + x] = shades[most];
    }
  }
}

// The canvas of a grid of `size`, one pixel of it for each pixel of the screen.
export function paintSprite(size) {
  const zoom = devicePixelRatio, canvas = document.createElement("canvas");
  canvas.width = Math.round(size.width * zoom);
  canvas.height = Math.round(size.height * zoom);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(canvas.width, canvas.height), words = new Uint32Array(pixels.data.buffer);
  const shades = byteColours(isDark() ? "night" : "weight"), [wide, high] = size.cell.map((side) => side * zoom);
  const [across, down] = size.picture.map((side) => Math.max(1, Math.round(side * zoom)));
  for (let layer = 0; layer < size.layers; layer++) {
    orderOf(layer).forEach((c, place) => {
      const left = Math.round(place * wide), top = Math.round((size.layers - 1 - layer) * high);
      const box = { left, top, wide: Math.min(across, canvas.width - left), high: Math.min(down, canvas.height - top) };
      const picture = headTable.picture(layer, c);
      if (picture) paintPicture(words, canvas.width, box, picture, shades);
      else if (Number.isFinite(headTable.score(gridState.score, layer, c)) && !report.thumbnails) {
        const colour = packColour(scoreColour(layer, c));
        for (let y = 0; y < box.high; y++) words.fill(colour, (top + y) * canvas.width + left, (top + y) * canvas.width + left + box.wide);
      }
    });
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

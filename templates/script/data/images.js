// Pictures of values, one pixel per cell, painted on a canvas.
import { colourOf, GREY, mapOf, shadeOf, SHARE } from "./colours.js";

// Pixels take their colours from a table, so that painting a cell is one look-up.
const SHADES = 2048;

const shadeTables = {};

function shadesOf(name) {
  if (!shadeTables[name]) {
    shadeTables[name] = new Uint32Array(SHADES + 1);
    for (let i = 0; i < SHADES; i++) {
      const [r, g, b] = colourOf(i / (SHADES - 1), SHARE, name);
      shadeTables[name][i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    }
    shadeTables[name][SHADES] = ((255 << 24) | (GREY[2] << 16) | (GREY[1] << 8) | GREY[0]) >>> 0;
  }
  return shadeTables[name];
}

// A canvas of rows × columns values, row 0 on top; cells that are `empty` stay transparent.
export function paintCells(rows, columns, at, scale, name, empty = () => false) {
  const canvas = document.createElement("canvas");
  canvas.width = columns;
  canvas.height = rows;
  // In main memory: a picture is painted once and drawn often, and no graphics card draws it.
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pixels = context.createImageData(columns, rows), words = new Uint32Array(pixels.data.buffer);
  const shades = shadesOf(mapOf(scale, name));
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      if (empty(r, c)) continue;
      const value = at(r, c);
      const shade = Number.isFinite(value) ? Math.round(shadeOf(value, scale) * (SHADES - 1)) : SHADES;
      words[r * columns + c] = shades[shade];
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

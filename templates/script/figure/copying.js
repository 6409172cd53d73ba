// The figure with headline and caption as one picture: on the clipboard, or as a file.
import { $ } from "../data/page.js";
import { saveFile } from "../data/saving.js";
import { theme } from "../data/state.js";
import { figureView } from "./canvas.js";
import { fontOf, LINE_HEIGHT, storyFamily, storyLines } from "./story_text.js";

const MARGIN = 12; // CSS pixels around the picture
const SCALE = 2; // its pixels per CSS pixel
const SVG = "http://www.w3.org/2000/svg";
// A line with letters that run from right to left is one text, so that the browser orders it.
const FROM_RIGHT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

// Where each part is, in CSS pixels, for a figure of the given size.
function storyLayout(width, height) {
  const { above, below } = storyLines(width), placed = [];
  let y = MARGIN;
  const put = (lines) => {
    for (const line of lines) {
      const lineHeight = Math.max(...line.map(({ size }) => size)) * LINE_HEIGHT;
      placed.push({ line, y: y + 0.77 * lineHeight });
      y += lineHeight;
    }
  };
  put(above);
  const top = y + 6;
  y = top + height + 6;
  put(below);
  return { placed, top, width: width + 2 * MARGIN, height: y + MARGIN };
}

// A line's parts, each with its place; one part for a line that the browser has to order.
function partsOf(line) {
  const text = line.map((part) => part.text).join("");
  if (FROM_RIGHT.test(text)) return [{ ...line[0], text, x: MARGIN, colour: "ink", bold: line.some(({ bold }) => bold) }];
  let x = MARGIN;
  return line.map((part) => { const at = x; x += part.width; return { ...part, x: at }; });
}

async function storyPicture() {
  const figure = await figureView.toCanvas(SCALE), colours = theme();
  const { placed, top, width, height } = storyLayout(figure.width / SCALE, figure.height / SCALE);
  const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
  [canvas.width, canvas.height] = [width * SCALE, height * SCALE];
  context.scale(SCALE, SCALE);
  context.fillStyle = colours.paper;
  context.fillRect(0, 0, width, height);
  context.drawImage(figure, MARGIN, top, figure.width / SCALE, figure.height / SCALE);
  for (const { line, y } of placed) {
    for (const part of partsOf(line)) {
      context.font = fontOf(part);
      context.fillStyle = colours[part.colour];
      context.fillText(part.text, part.x, y);
    }
  }
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}

const xmlText = (text) => text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);

const xmlTag = (name, attributes, content = "") => `<${name}${Object.entries(attributes).map(([key, value]) => ` ${key}="${xmlText(String(value))}"`).join("")}>${content}</${name}>`;

// The picture as SVG. It is written as text: as elements of this page, its styles would be against the page's policy.
async function storyDrawing() {
  const figure = await figureView.toSVG(), [, own, high] = figure.match(/ width="([\d.]+)" height="([\d.]+)"/);
  const colours = theme(), { placed, top, width, height } = storyLayout(Number(own), Number(high));
  const paper = xmlTag("rect", { width, height, fill: colours.paper });
  const written = placed.map(({ line, y }) => {
    const spans = partsOf(line).map((part) => xmlTag("tspan", { fill: colours[part.colour], "font-size": `${part.size}px`, "font-weight": part.bold ? "bold" : "normal" }, xmlText(part.text)));
    return xmlTag("text", { x: MARGIN, y, "xml:space": "preserve", "font-family": storyFamily() }, spans.join(""));
  });
  const content = paper + figure.replace("<svg ", `<svg x="${MARGIN}" y="${top}" `) + written.join("");
  return new Blob([xmlTag("svg", { xmlns: SVG, width, height, viewBox: `0 0 ${width} ${height}` }, content)], { type: "image/svg+xml" });
}

function noteCopy(text) {
  $("copy-note").textContent = text;
}

async function copyFigure() {
  const picture = storyPicture();
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
    noteCopy("Copied as PNG.");
  } catch { // no clipboard for pictures here, or not allowed
    saveFile("figure.png", await picture);
    noteCopy("Saved as PNG: the browser does not allow copying it.");
  }
}

// Listen to the buttons that copy and save the figure.
export function listenToCopyButtons() {
  $("copy-figure").addEventListener("click", copyFigure);
  $("save-figure").addEventListener("click", async () => {
    saveFile("figure.svg", await storyDrawing());
    noteCopy("Saved as SVG.");
  });
}

// The texts below the figure.
import { $, report } from "../data/page.js";
import { markTerms } from "../data/terms.js";
import { formatCount } from "../data/format.js";
import { state } from "../data/state.js";
import { otherSite, scaleShown, siteShown } from "../data/statistics.js";
import { markedLens } from "../data/readable.js";
import { rowsShown } from "../data/rows.js";
import { pageWidth } from "./chart.js";
import { shownColumns } from "./hidden.js";
import { whyNoAttention } from "./missing.js";

export const chartCaption = () => (state.box ? report.placement.captions[otherSite() ? "other" : state.view] : "");

const CAPTION_LETTERS = 44;

// The caption of the box in two lines on a telephone, the first one the longer.
export function inLines(caption) {
  let at = pageWidth === "narrow" && caption.length > CAPTION_LETTERS ? caption.lastIndexOf(" ", CAPTION_LETTERS) : 0;
  if (at > 0 && caption.startsWith(" %", at)) at = caption.lastIndexOf(" ", at - 1);
  return at > 0 ? `${caption.slice(0, at)}\n${caption.slice(at + 1)}` : caption;
}

// Whether a part of the box is in the section.
function isBoxInSection() {
  const [from, to] = report.placement.box;
  return to > state.a && from < state.b;
}

// What the caption says of the box of template tokens.
function boxWords() {
  const caption = isBoxInSection() && chartCaption();
  if (!caption) return "";
  return ` Blue box: ${caption[0].toLowerCase()}${caption.slice(1)}.`;
}

// Why the rows shown, or the selected one, have no attention.
function missingWords() {
  if (state.view !== "attention") return "";
  const rows = rowsShown(), row = rows[Math.min(state.row, rows.length - 1)], why = whyNoAttention(row.entry, row.head);
  return why ? ` Hatched: ${why}.` : "";
}

// Write below the figure what it shows, in which colours, and where the inset is.
export function writeCaption() {
  const lens = state.view === "lens", scale = scaleShown();
  const [, where] = (lens && report.sites.find(([name]) => name === siteShown())) || ["", ""];
  const text = report.captions[state.view].replace("{what}", () => scale.what + where).replace("{colours}", () => scale.words[state.palette])
    .replaceAll("{besides}", () => (state.sinks ? "" : " besides sink keys")).replace("{column}", () => formatCount(state.col))
    .replace("{hidden}", () => (shownColumns() ? report.sources.caption : "")).replace("{box}", boxWords).replace("{readable}", () => markedLens()?.sentences ?? "");
  markTerms($("caption"), text + missingWords());
}

// The texts below the figure.
import { $, report } from "../data/page.js";
import { formatCount } from "../data/format.js";
import { state } from "../data/state.js";
import { scaleShown, siteShown } from "../data/statistics.js";

export function chartCaption() {
  return state.view === "lens" ? report.placement.caption : "“Dummy tokens”: the chat template after the question";
}

// Write below the figure what it shows, in which colours, and where the inset is.
export function writeCaption() {
  const lens = state.view === "lens", scale = scaleShown();
  const [, where] = (lens && report.sites.find(([name]) => name === siteShown())) || ["", ""];
  $("caption").textContent = report.captions[state.view].replace("{what}", () => scale.what + where).replace("{colours}", () => scale.words[state.palette])
    .replace("{column}", () => formatCount(state.col));
}

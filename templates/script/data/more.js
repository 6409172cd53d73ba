// Planes that do not open the figure: they lie in a part of the page of their own, which is read when
// one of them is first needed.
import { $, report } from "./page.js";
import { untilParsed } from "./browser.js";
import { data, details, headDetails, unpackAll } from "./values.js";
import { visibleKeys } from "./visible.js";
import { makePlane, planes } from "./planes.js";
import { SITES } from "./state.js";

let laterPart = null;
export let vocabularies = {};

export async function readPlanes(key, detail) {
  await untilParsed();
  laterPart ??= $("more") ? JSON.parse($("more").textContent) : { packed: {}, vocabularies: {} };
  ({ vocabularies } = laterPart);
  const wanted = (name) => (name.startsWith(`${key}.`) || (detail && name.startsWith(detail))) && laterPart.packed[name];
  const packed = Object.fromEntries(Object.keys(laterPart.packed).filter(wanted).map((name) => [name, laterPart.packed[name]]));
  for (const name of Object.keys(packed)) laterPart.packed[name] = null;
  Object.assign(data, await unpackAll(packed));
  if (key.startsWith("lens.")) makeLensPlane(key);
  else makeAttentionPlanes(key);
}

function makeLensPlane(key) {
  const [, site, stat] = key.split("."), own = (piece) => data[`${key}.${piece}`];
  const detail = (name) => data[site === SITES[0] ? name : `lens.${site}.detail.${name}`];
  const read = (raw, get) => raw && { get: (i) => get(raw, i), error: raw.error };
  const derived = {
    lens_kl: () => detail("lensKl"),
    lens_rank: () => read(detail("lensRank"), (raw, i) => (raw.get(i) < 0 ? NaN : raw.get(i) + 1)), // ranks are read from 1
    probability: () => read(detail("topLogprobs"), (raw, i) => Math.exp(raw.get(i * raw.shape[2]))),
  };
  const part = own("part") ?? derived[stat]?.();
  planes[key] = makePlane({ full: own("whole"), part, where: details, tiles: own("tiles"), step: report.steps.lens });
}

function makeAttentionPlanes(key) {
  const stat = key.split(".")[1], own = (piece) => data[`${key}.${piece}`], derived = stat === "normalized_entropy";
  // Entropy as a share of ln(visible), which fewer than two visible keys do not have.
  const normalized = (entry, position, value) => {
    const visible = visibleKeys(entry, position);
    return visible >= 2 ? value / Math.log(visible) : NaN;
  };
  planes[key] = makePlane({
    full: derived ? data.attentionWhole : own("whole"), part: derived ? data.attentionPart : own("part"),
    where: details, tiles: own("tiles"), step: report.steps.attention, derive: derived ? normalized : undefined,
  });
  const single = derived ? data.headsPart : stat === "max_prob" ? data.maxProb : own("headsPart");
  planes[`${key}.heads`] = makePlane({
    part: single, where: headDetails, tiles: own("headsTiles"), step: report.headStep,
    derive: derived ? (row, position, value) => normalized(Math.floor(row / report.heads), position, value) : undefined,
  });
}

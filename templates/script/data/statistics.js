// The statistic and the lens's site that are shown. Of other planes than those that open the values
// lie in a part of the page of their own, which is read when one of them is first chosen.
const BLANK = { at: () => NaN, tile: () => null, over: () => NaN, error: 0 };
const SITES = report.sites.map(([name]) => name), coming = {};
let more = null, vocabularies = {};

const siteShown = () => (SITES.includes(state.site) ? state.site : SITES[0]);
const otherSite = () => state.view === "lens" && siteShown() !== SITES[0];

// What can be chosen here, beside entropy.
function offered() {
  const group = state.view === "lens" ? `lens.${siteShown()}` : state.view, all = report.offered[group] ?? [];
  return all.filter((name) => name !== "entropy" && (name !== "normalized_entropy" || report.visible));
}

const statShown = () => (offered().includes(state.stat) ? state.stat : "entropy");
const scaleShown = () => (statShown() === "entropy" ? report.scales[state.view] : report.statistics[state.view][statShown()]);

function statName() {
  const stat = statShown();
  if (stat !== "entropy") return report.statistics[state.view][stat].label;
  return state.view === "lens" ? "lens entropy" : "attention entropy";
}

function keyShown() {
  const stat = statShown();
  if (stat === "entropy" && !otherSite()) return state.view;
  return state.view === "lens" ? `lens.${siteShown()}.${stat}` : `attention.${stat}`;
}

const planeShown = () => planes[keyShown()] ?? BLANK;
const headsShown = () => (statShown() === "entropy" ? planes.heads : planes[`${keyShown()}.heads`]) ?? BLANK;
const statisticReady = () => keyShown() in planes;

// What the lens reads at the site that is shown, beside its statistics.
const lensDetail = (name) => data[otherSite() ? `lens.${siteShown()}.detail.${name}` : name];
const vocabularyShown = () => (otherSite() ? vocabularies[siteShown()] : null) ?? report.vocabulary;

// The planes of what is shown; their values are unpacked once, and `makePlanes` forgets the planes.
function prepareStatistic() {
  const key = keyShown();
  if (key in planes) return Promise.resolve();
  coming[key] ??= readStatistic(key, otherSite() ? `lens.${siteShown()}.detail.` : null).then(() => { delete coming[key]; });
  return coming[key];
}

async function readStatistic(key, detail) {
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done));
  more ??= $("more") ? JSON.parse($("more").textContent) : { packed: {}, vocabularies: {} };
  ({ vocabularies } = more);
  const wanted = (name) => (name.startsWith(`${key}.`) || (detail && name.startsWith(detail))) && more.packed[name];
  const found = Object.fromEntries(Object.keys(more.packed).filter(wanted).map((name) => [name, more.packed[name]]));
  for (const name of Object.keys(found)) more.packed[name] = null;
  Object.assign(data, await unpackAll(found));
  if (key.startsWith("lens.")) makeLensPlane(key);
  else makeAttentionPlanes(key);
}

function makeLensPlane(key) {
  const [, site, stat] = key.split("."), own = (piece) => data[`${key}.${piece}`];
  const detail = (name) => data[site === SITES[0] ? name : `lens.${site}.detail.${name}`];
  const read = (raw, get) => raw && { get: (i) => get(raw, i), error: raw.error };
  const made = {
    lens_kl: () => detail("lensKl"),
    lens_rank: () => read(detail("lensRank"), (raw, i) => (raw.get(i) < 0 ? NaN : raw.get(i))),
    probability: () => read(detail("topLogprobs"), (raw, i) => Math.exp(raw.get(i * raw.shape[2]))),
  };
  const part = own("part") ?? made[stat]?.();
  planes[key] = plane({ whole: own("whole"), part, where: details, tiles: own("tiles"), step: report.steps.lens });
}

function makeAttentionPlanes(key) {
  const stat = key.split(".")[1], own = (piece) => data[`${key}.${piece}`], derived = stat === "normalized_entropy";
  // Entropy as a share of ln(visible), which fewer than two keys do not have.
  const share = (entry, position, value) => {
    const seen = visibleKeys(entry, position);
    return seen >= 2 ? value / Math.log(seen) : NaN;
  };
  planes[key] = plane({
    whole: derived ? data.attentionWhole : own("whole"), part: derived ? data.attentionPart : own("part"),
    where: details, tiles: own("tiles"), step: report.steps.attention, of: derived ? share : undefined,
  });
  const single = derived ? data.headsPart : stat === "max_prob" ? data.maxProb : own("headsPart");
  planes[`${key}.heads`] = plane({
    part: single, where: headDetails, tiles: own("headsTiles"), step: report.headStep,
    of: derived ? (row, position, value) => share(Math.floor(row / report.heads), position, value) : undefined,
  });
}

// Below the figure: what is shown, in which colours, and where the inset is.
function writeCaption() {
  const lens = state.view === "lens", scale = scaleShown();
  const [, where] = (lens && report.sites.find(([name]) => name === siteShown())) || ["", ""];
  $("caption").textContent = report.captions[state.view].replace("{what}", () => scale.what + where).replace("{colours}", () => scale.words[state.palette])
    .replace("{column}", () => count(state.col));
}

// The choosers, and the caption, for what is shown.
function reflectStatistic() {
  const lens = state.view === "lens";
  writeCaption();
  if ($("site-chooser")) $("site-chooser").hidden = !lens;
  if ($("site")) $("site").value = siteShown();
  if (!$("stat")) return;
  $("stat").replaceChildren(...["entropy", ...offered()].map((name) => {
    const option = document.createElement("option");
    option.value = name;
    option.textContent = name === "entropy" ? "entropy" : report.statistics[state.view][name].label;
    return option;
  }));
  $("stat").value = statShown();
}

// The statistic and the lens site that are shown, and their planes.
import { report } from "./page.js";
import { data } from "./values.js";
import { planes } from "./planes.js";
import { SITES, state } from "./state.js";
import { readPlanes, vocabularies } from "./more.js";

const BLANK = { at: () => NaN, tile: () => null, over: () => NaN, error: 0 };
const pending = {};

export const siteShown = () => (SITES.includes(state.site) ? state.site : SITES[0]);

export const siteWords = () => (siteShown() === "translated" ? "translated lens" : `${siteShown()} output`);

export const otherSite = () => state.view === "lens" && siteShown() !== SITES[0];

// The statistics besides entropy that the reader can choose in this view.
export function otherStatistics() {
  const group = state.view === "lens" ? `lens.${siteShown()}` : state.view, all = report.offered[group] ?? [];
  return all.filter((name) => name !== "entropy" && (name !== "normalized_entropy" || report.visible));
}

export const statShown = () => (otherStatistics().includes(state.stat) ? state.stat : "entropy");

// The scale of the statistic that is shown, before it is fitted.
const wholeScale = () => (statShown() === "entropy" ? report.scales[state.view] : report.statistics[state.view][statShown()]);

// The same, fitted to the values of the page where the reader wants it; null where it cannot be.
export const fittedScale = () => (statShown() === "entropy" && !otherSite() ? wholeScale().fit : null);

export const scaleShown = () => (state.fit && fittedScale()) || wholeScale();

export function statName() {
  const stat = statShown();
  if (stat !== "entropy") return report.statistics[state.view][stat].label;
  return state.view === "lens" ? "lens entropy" : "attention entropy";
}

export function keyShown() {
  const stat = statShown();
  if (stat === "entropy" && !otherSite()) return state.view;
  return state.view === "lens" ? `lens.${siteShown()}.${stat}` : `attention.${stat}`;
}

export const planeShown = () => planes[keyShown()] ?? BLANK;

export const headsShown = () => (statShown() === "entropy" ? planes.heads : planes[`${keyShown()}.heads`]) ?? BLANK;

export const statisticReady = () => keyShown() in planes;

// Details of the lens at the site that is shown: its top tokens and what they are compared with.
export const lensDetail = (name) => data[otherSite() ? `lens.${siteShown()}.detail.${name}` : name];

export const vocabularyShown = () => (otherSite() ? vocabularies[siteShown()] : null) ?? report.vocabulary;

// Read the planes of what is shown. Requests for the same planes share one promise.
export function prepareStatistic() {
  const key = keyShown();
  if (key in planes) return Promise.resolve();
  pending[key] ??= readPlanes(key, otherSite() ? `lens.${siteShown()}.detail.` : null).then(() => { delete pending[key]; });
  return pending[key];
}

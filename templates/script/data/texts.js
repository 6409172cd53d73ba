// The texts of the prompt's tokens, and of the vocabulary that the lens names tokens from.
import { report } from "./page.js";
import { slots, unpackAll } from "./values.js";
import { vocabularyShown } from "./statistics.js";

export let texts = null;

export async function readTexts() {
  const { short, full, roles, ranges } = report.texts;
  const textSlots = slots(ranges), { index, role } = await unpackAll({ index: report.texts.index, role: report.texts.role });
  texts = {
    token: (p) => { const i = textSlots.slot(p); return i < 0 ? "" : short[index.get(i)]; },
    full: (p) => { const i = textSlots.slot(p); return i < 0 ? "" : full[index.get(i)] ?? short[index.get(i)]; },
    role: (p) => { const i = textSlots.slot(p); return i < 0 ? "" : roles[role.get(i)]; },
  };
}

export const word = (id) => (id < 0 ? "" : vocabularyShown().short[id]);

export const wordFull = (id, { short, full } = vocabularyShown()) => (id < 0 ? "" : full[id] ?? short[id]);

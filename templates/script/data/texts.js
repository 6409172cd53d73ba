// The texts of the prompt's tokens, and of the vocabulary that the lens names tokens from.
import { N, report } from "./page.js";
import { inflate, slots, unpackAll } from "./values.js";
import { vocabularyShown } from "./statistics.js";

export let texts = null;

export async function readTexts() {
  const { words, roles, ranges } = report.texts;
  const names = ["index", "role", "starts"].filter((name) => report.texts[name]);
  const textSlots = slots(ranges), { index, role, starts } = await unpackAll(Object.fromEntries(names.map((name) => [name, report.texts[name]])));
  const { short, full, plain, turns, probabilities, decisive } = await (await inflate(words)).json();
  const at = (p, read) => { const i = textSlots.slot(p); return i < 0 ? "" : read(i); };
  const roleOf = (p) => at(p, (i) => roles[role.get(i)]);
  const plainOf = (p) => at(p, (i) => plain[index.get(i)]);
  const continues = (p) => { const i = textSlots.slot(p); return Boolean(starts) && i >= 0 && !starts.get(i); };
  // A token without a text is the rest of the character before it.
  const isRest = (p) => p > 0 && p < N && textSlots.slot(p) >= 0 && plainOf(p) === "" && roleOf(p) === roleOf(p - 1);
  texts = {
    token: (p) => at(p, (i) => short[index.get(i)]),
    full: (p) => at(p, (i) => full[index.get(i)] ?? short[index.get(i)]),
    role: roleOf,
    plain: plainOf,
    // Where each turn starts, its kind and its label; nothing where the page has no complete text.
    turns,
    probabilities,
    isDecisive: (p) => Boolean(decisive) && p >= decisive[0] && p < decisive[1],
    decisive,
    startsWord: (p) => !continues(p),
    // The tokens [from, to) of the character at a position: more than one where a byte-level tokenizer cut it.
    characterOf: (p) => {
      let from = p, to = p + 1;
      while (isRest(from)) from--;
      while (isRest(to)) to++;
      return { from, to };
    },
    // The tokens [from, to) of the word at a position; null for a word of one token, and for one of which
    // the page has only a part.
    wordAt: (p) => {
      if (!starts || textSlots.slot(p) < 0) return null;
      let from = p, to = p + 1;
      while (continues(from)) from--;
      while (continues(to)) to++;
      const isWhole = textSlots.slot(from) >= 0 && (to === N || textSlots.slot(to) >= 0);
      return isWhole && to - from > 1 ? { from, to } : null;
    },
  };
}

const folded = (text) => text.replace(/[\u2066-\u2069]/g, "").replace(/^[_␣]+|[␣]+$/g, "").toLowerCase();
const answers = new WeakMap();

// Whether a token of the lens's vocabulary is the answer's: the first one of its decisive word.
export function isAnswer(id) {
  if (id < 0 || !report.answerToken) return false;
  const vocabulary = vocabularyShown();
  if (!answers.has(vocabulary)) {
    const wanted = folded(report.answerToken);
    answers.set(vocabulary, new Set(vocabulary.short.flatMap((short, i) => (folded(vocabulary.full[i] ?? short) === wanted ? [i] : []))));
  }
  return answers.get(vocabulary).has(id);
}

export const word = (id) => (id < 0 ? "" : vocabularyShown().short[id]);

export const wordFull = (id, { short, full } = vocabularyShown()) => (id < 0 ? "" : full[id] ?? short[id]);

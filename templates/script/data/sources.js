// What the words of the answer rest on: the word that is shown, and what hiding each span does to it.
import { N, report } from "./page.js";
import { state } from "./state.js";

let openingPlace = -1;
let lastWord = -1;
let placed = null;

// Note the position that the page opens with: it shows the sources of the headline's word.
export function noteOpeningPlace() {
  openingPlace = state.col;
}

// A click on a word of the text is a choice, also where the page opened with that word.
export function choosePlace() {
  openingPlace = -1;
}

function testedWordAt(position) {
  return report.sources?.words.findIndex(({ at: [from, to] }) => position >= from && position < to) ?? -1;
}

// The number of the word of the answer that the reader chose; −1 for none.
export const chosenWord = () => (report.sources && state.col !== openingPlace ? testedWordAt(state.col) : -1);

// The word whose sources are shown: the chosen one, and the headline's when the page opens; null for none.
export function shownWord() {
  if (!report.sources) return null;
  const chosen = chosenWord();
  if (chosen < 0 && state.col !== openingPlace) return null;
  return report.sources.words[chosen < 0 ? report.sources.main : chosen];
}

// The word whose columns stand next to the figure when the page opens: the headline's, else the first that has any.
const openingWord = ({ words, main }) => (words[main].hidden ? main : words.findIndex(({ hidden }) => hidden));

// The word whose columns stand next to the figure: the last one that was shown and has any; undefined for none.
export function columnsWord() {
  if (!report.sources) return undefined;
  const { words } = report.sources, chosen = chosenWord();
  if (chosen >= 0 && words[chosen].hidden) lastWord = chosen;
  else if (lastWord < 0 || state.col === openingPlace) lastWord = openingWord(report.sources);
  return words[lastWord];
}

// The number of the span that each position belongs to for a word, −1 for none: the shortest that was tested, else
// one that was not.
function spansAt({ effects }) {
  const own = new Int32Array(N).fill(-1), all = report.sources.spans.map(({ at: [from, to] }, i) => ({ from, to, i, rank: effects[i] === null ? 0 : 1 }));
  for (const { from, to, i } of all.sort((a, b) => a.rank - b.rank || b.to - b.from - (a.to - a.from))) own.fill(i, from, to);
  return own;
}

// The number of the span at a position; −1 for none.
export function spanOf(answerWord, position) {
  if (placed?.answerWord !== answerWord) placed = { answerWord, own: spansAt(answerWord) };
  return placed.own[position];
}

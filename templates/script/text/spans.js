// The elements of running text: words with their tokens, chips of turns; parts/text.html.j2 has the same.
import { makeElement, N, PROMPT } from "../data/page.js";
import { texts } from "../data/texts.js";
import { isChip } from "./blocks.js";
import { directionGroups, directionOf } from "./direction.js";

// Letters of a word that may need more than one line.
const WIDE_WORD = 24;

// The probability of a word that the model wrote, as report/content/running_text.py writes it; "" for others.
function wordProbability(from, to, text) {
  if (from < PROMPT || to - PROMPT > texts.probabilities.length || !/[\p{L}\p{N}]/u.test(text)) return "";
  const all = texts.probabilities.slice(from - PROMPT, to - PROMPT);
  if (all.includes(null)) return "";
  const p = all.reduce((product, one) => product * one, 1);
  if (p < 0.0005) return "< 0.001";
  if (p >= 0.995) return p === 1 && texts.isDecisive(from) ? "1.00" : !texts.isDecisive(from) ? "> 0.99" : p < 0.99995 ? p.toFixed(4) : "> 0.9999";
  return p.toFixed(p >= 0.005 ? 2 : 3);
}

function tokenElement(from, to, text) {
  const element = makeElement("span", text, { className: `t ${texts.role(from)}` });
  element.dataset.at = from;
  if (to - from > 1) element.dataset.many = to - from;
  if (text.startsWith("\n") && !text.trim()) element.classList.add("end");
  return element;
}

function textOf(from, to) {
  let text = "";
  for (let p = from; p < to; p++) text += texts.plain(p);
  return text;
}

// The words of the tokens [from, to): each with the blanks before it.
function wordsOf(from, to) {
  const words = [];
  for (let p = from; p < to;) {
    let stop = p + 1;
    while (stop < to && !texts.startsWord(stop)) stop++;
    words.push({ from: p, to: stop, text: textOf(p, stop) });
    p = stop;
  }
  return words;
}

function wordElements({ from, to, text }) {
  const lead = text.trim() ? /^ */.exec(text)[0] : "", probability = wordProbability(from, to, text);
  const element = makeElement(probability ? "ruby" : "span", "", { className: texts.isDecisive(from) ? "w decisive" : "w" });
  for (let p = from; p < to;) {
    const { to: stop } = texts.characterOf(p), own = texts.plain(p) || (p === from ? "·" : "");
    element.append(tokenElement(p, Math.min(to, stop), p === from ? own.slice(lead.length) : own));
    p = Math.min(to, stop);
  }
  if (probability && text.length > WIDE_WORD) element.classList.add("wide");
  if (probability) {
    const number = document.createElement("rt");
    number.dataset.p = probability;
    element.append(number);
  }
  return lead ? [lead, element] : [element];
}

function appendWords(parent, from, to, base) {
  for (const { way, words } of directionGroups(wordsOf(from, to), base)) {
    const own = words.flatMap(wordElements);
    if (way === base) parent.append(...own);
    else {
      const group = makeElement("bdi", "", { dir: way });
      group.append(...own);
      parent.append(group);
    }
  }
}

// The elements of the tokens [start, stop) as one paragraph. A chip whose text follows it has none within.
export function blockElement({ start, stop }, turns, chip) {
  const element = makeElement("div", "", { className: "line" });
  const own = turns.filter((turn) => turn.start < stop && turn.stop > start);
  const spoken = own.find((turn) => !isChip(turn.kind) || turn.stop - turn.start > chip);
  const base = (spoken && directionOf(textOf(Math.max(start, spoken.start), Math.min(stop, spoken.stop)))) || "ltr";
  element.dir = base;
  for (const turn of own) {
    const from = Math.max(start, turn.start), to = Math.min(stop, turn.stop);
    if (from === PROMPT && PROMPT < N) element.append(makeElement("span", "", { className: "then" }));
    const isLabelled = turn.kind !== "words" && from === turn.start;
    if (isLabelled && isChip(turn.kind) && turn.stop - turn.start <= chip) {
      const chipElement = makeElement("details", "", { className: "turn" }), inner = document.createElement("bdi");
      chipElement.append(makeElement("summary", turn.label), inner);
      chipElement.dataset.from = from;
      chipElement.dataset.to = to;
      inner.dir = "ltr";
      chipElement.addEventListener("toggle", () => { if (chipElement.open && !inner.hasChildNodes()) appendWords(inner, from, to, "ltr"); });
      element.append(chipElement);
      continue;
    }
    if (isLabelled) element.append(makeElement("span", turn.label, { className: "turn label" }));
    appendWords(element, from, to, base);
  }
  return element;
}

// The text in blocks, each a line of its own on the page: a paragraph, or a part of a long one.
import { N } from "../data/page.js";
import { texts } from "../data/texts.js";

const LONGEST = 160;
// Turns of at most so many tokens are a chip that opens; longer ones are a chip and their text.
export const CHIP = 200;

export const isChip = (kind) => ["template", "system", "image"].includes(kind);

// The turns with their ends: {start, stop, kind, label}.
export function turnsOf() {
  return texts.turns.map(([start, kind, label], i, all) => ({ start, stop: i + 1 < all.length ? all[i + 1][0] : N, kind, label }));
}

// Cut the text into blocks: [start, stop) each, with the number of letters that they take. A block ends
// where a line ends, before a turn, and where it would be too long: after a sentence if there is one.
export function makeBlocks(turns) {
  const blocks = [];
  let open = null;
  const close = () => { if (open && open.stop > open.start) blocks.push(open); open = null; };
  const extend = (start) => { open ??= { start, stop: start, letters: 0, words: false }; };
  for (const turn of turns) {
    if (open?.words) close();
    extend(turn.start);
    if (isChip(turn.kind)) open.letters += turn.label.length + 4;
    if (isChip(turn.kind) && turn.stop - turn.start <= CHIP) {
      open.stop = turn.stop;
      continue;
    }
    let sentence = -1;
    for (let p = turn.start; p < turn.stop; p++) {
      const text = texts.plain(p);
      extend(p);
      open.words = true;
      if (open.stop - open.start >= LONGEST && texts.startsWord(p)) {
        const cut = sentence > open.start ? sentence : p, { start } = open;
        open.stop = cut;
        close();
        open = { start: cut, stop: p, letters: (p - cut) * 5, words: true };
        if (open.start === start) open.start = p;
        sentence = -1;
      }
      open.stop = p + 1;
      open.letters += text.length;
      if (/[.!?。！？؟]\s*$/.test(text) && p + 1 < turn.stop && texts.startsWord(p + 1)) sentence = p + 1;
      if (text.includes("\n") && !(p + 1 < turn.stop && /^\s*\n/.test(texts.plain(p + 1))) && p + 1 < turn.stop && texts.startsWord(p + 1)) {
        close();
        sentence = -1;
      }
    }
  }
  close();
  return blocks;
}

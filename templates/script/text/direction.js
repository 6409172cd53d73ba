// In which direction words are read; report/content/directions.py has the same.
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const LETTER = /\p{L}/u;

// "ltr" or "rtl" by the first letter; "" for a text without one.
export function directionOf(text) {
  const first = LETTER.exec(text);
  if (!first) return "";
  return RIGHT_TO_LEFT.test(first[0]) ? "rtl" : "ltr";
}

// Words in groups of one direction; words without a letter belong to the other direction only between
// two words of it.
export function directionGroups(words, base) {
  const groups = [];
  let waiting = [];
  for (const one of words) {
    const own = directionOf(one.text), last = groups[groups.length - 1];
    if (last && last.way !== base) {
      if (!own) { waiting.push(one); continue; }
      if (own === base) groups.push({ way: base, words: [...waiting, one] });
      else last.words.push(...waiting, one);
      waiting = [];
    } else if (last && last.way === (own || base)) last.words.push(one);
    else groups.push({ way: own || base, words: [one] });
  }
  if (waiting.length) groups.push({ way: base, words: waiting });
  return groups;
}

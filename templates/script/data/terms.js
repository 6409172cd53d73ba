// The words of the page that the glossary explains; report/page/terms.py does the same for the texts that
// the page opens with.
import { $, makeElement, report } from "./page.js";

const keyOf = (form) => report.terms.keys[form] ?? report.terms.keys[form.replace(/s$/, "")];

// A word that opens its definition.
function termButton(form, key) {
  const button = makeElement("button", form, { type: "button", className: "term", title: $(`term-${key}`).querySelector("span").textContent });
  button.setAttribute("popovertarget", `term-${key}`);
  return button;
}

// Write `text` into `element`, with the first occurrence of each term as a button. Quoted token texts
// are left alone.
export function markTerms(element, text) {
  const pattern = new RegExp(report.terms.pattern, "giu"), seen = new Set(), parts = [];
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    const key = keyOf(match[0].toLowerCase());
    if (!key || seen.has(key) ) continue;
    seen.add(key);
    parts.push(text.slice(from, match.index), termButton(match[0], key));
    from = match.index + match[0].length;
  }
  element.replaceChildren(...parts, text.slice(from));
}

// The line that says what of an address the page cannot show, and what it shows instead.
import { $ } from "../data/page.js";
import { shorten } from "../data/format.js";

const MOST_FAILURES = 3;
const LONGEST_QUOTE = 40;

// A text of the address, which may have any characters: those without ink are written as a mark.
export function quoteAddress(text) {
  const inked = text.slice(0, 400).toWellFormed().replace(/[\p{C}\p{Z}\p{Default_Ignorable_Code_Point}\u2800\ufffc]/gu, "␣").replace(/\p{M}{4,}/gu, "…");
  return `“\u2068${shorten(inked, LONGEST_QUOTE)}\u2069”`;
}

// Write the line; of no failures, none.
export function writeFailures(failures) {
  const more = failures.length - MOST_FAILURES, named = failures.slice(0, MOST_FAILURES).join("; ");
  $("address-note").hidden = !failures.length;
  $("address-note").textContent = failures.length ? `This page cannot show all that its address asks for: ${named}${more > 0 ? `; and ${more} more` : ""}.` : "";
}

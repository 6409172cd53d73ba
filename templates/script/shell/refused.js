// Pictures that the page in which this one is embedded forbids.
import { $ } from "../data/page.js";

// Say so where one is missing: most charts are drawn by the script, the others cannot be.
export function noteRefusedPictures() {
  if (![...document.images].some((picture) => picture.complete && !picture.naturalWidth)) return;
  $("notice").textContent = "Some charts are missing here, because the site that shows this page forbids pictures inside it: to see them, download the file and open it in a browser.";
  $("notice").classList.add("refused");
}

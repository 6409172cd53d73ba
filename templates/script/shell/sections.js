// The navigation, which leaves the state in the address alone; and the figure on paper.
import { $ } from "../data/page.js";
import { addressFragment } from "../data/browser.js";

// Pixels that the page may move by itself after a jump.
const JUMP = 2;

// The section at the top of the screen: the last one that begins above a quarter of it, or the first of
// those that begin there side by side.
function sectionInView(sections) {
  const tops = sections.map((section) => section.getBoundingClientRect().top), started = tops.filter((top) => top < innerHeight / 4);
  return started.length ? sections[tops.indexOf(Math.max(...started))] : null;
}

// Go to a section without changing the address, and mark the link of the section in view: the one that was
// clicked until the reader scrolls, because it may be too near to the page's end to reach the top.
export function watchSections() {
  const links = [...document.querySelectorAll("nav.sections a")];
  const at = new Map(links.map((link) => [$(link.hash.slice(1)), link]));
  let clicked = null, waiting = 0;
  const mark = () => {
    waiting = 0;
    if (clicked && Math.abs(scrollY - clicked.top) > JUMP) clicked = null;
    const here = clicked?.section ?? sectionInView([...at.keys()]);
    for (const [section, link] of at) {
      if (section === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const markSoon = () => { waiting ||= requestAnimationFrame(mark); };
  for (const [section, link] of at) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      section.scrollIntoView();
      section.focus({ preventScroll: true });
      clicked = { section, top: scrollY };
      mark();
    });
  }
  for (const name of ["scroll", "resize"]) addEventListener(name, markSoon, { passive: true });
  markSoon();
}

// On paper the figure is the still picture in the page, as long as the reader has changed nothing.
export function watchPrinting(recalled) {
  const opened = recalled ? null : addressFragment();
  addEventListener("beforeprint", () => {
    document.documentElement.classList.toggle("as-opened", addressFragment() === opened);
  });
}

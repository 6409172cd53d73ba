// The navigation, which leaves the state in the address alone; and the figure on paper.
import { $ } from "../data/page.js";

export function watchSections() {
  const links = [...document.querySelectorAll("nav.sections a")];
  const at = new Map(links.map((link) => [$(link.hash.slice(1)), link]));
  for (const [section, link] of at) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      section.scrollIntoView();
      section.focus({ preventScroll: true });
    });
  }
  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) inSight[entry.isIntersecting ? "add" : "delete"](entry.target);
    const here = [...at.keys()].find((section) => inSight.has(section));
    for (const [section, link] of at) {
      if (section === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-45px 0px -55% 0px" });
  for (const section of at.keys()) observer.observe(section);
}

// On paper the figure is the drawing that the page came with, for as long as it shows the same.
export function watchPrinting(recalled) {
  const opened = recalled ? null : location.hash;
  addEventListener("beforeprint", () => {
    document.documentElement.classList.toggle("as-opened", opened !== null && location.hash === opened);
  });
}

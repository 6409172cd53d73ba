// The navigation, which leaves the state in the address alone; and the figure on paper.
import { $ } from "../data/page.js";

// Go to a section without changing the address, and mark the link of the section in view.
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
  const inView = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) inView[entry.isIntersecting ? "add" : "delete"](entry.target);
    const here = [...at.keys()].find((section) => inView.has(section));
    for (const [section, link] of at) {
      if (section === here) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "-45px 0px -55% 0px" });
  for (const section of at.keys()) observer.observe(section);
}

// On paper the figure is the still picture in the page, as long as the reader has changed nothing.
export function watchPrinting(recalled) {
  const opened = recalled ? null : location.hash;
  addEventListener("beforeprint", () => {
    document.documentElement.classList.toggle("as-opened", opened !== null && location.hash === opened);
  });
}

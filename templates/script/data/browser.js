// What a browser may lack, or a page in which this one is embedded may forbid. Each works or does without;
// whatever else of the page can go wrong alone is tried alone.

// Run one part of the page; an error in it is logged, and the other parts continue.
export async function attempt(work) {
  try {
    await work();
  } catch (error) {
    console.error(error);
  }
}

// The media query `text`; one that never matches where the browser knows none.
export function watchMedia(text) {
  try {
    return matchMedia(text);
  } catch {
    return { matches: false, addEventListener() {} };
  }
}

// The fragment that stands for the page's state. An embedded page may be forbidden to change its address,
// and then remembers it.
let ownFragment = null;

export const addressFragment = () => ownFragment ?? location.hash.slice(1);

export function writeFragment(text) {
  try {
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    ownFragment = null;
  } catch {
    ownFragment = text;
  }
}

// Call `work` when the reader follows a link to another fragment.
export function afterFragment(work) {
  addEventListener("hashchange", () => {
    ownFragment = null;
    work();
  });
}

// Call `work` whenever the element has another size.
export function watchSize(element, work) {
  if (window.ResizeObserver) new ResizeObserver(work).observe(element);
  else addEventListener("resize", work);
}

// Call `enter` with each of the elements once it is near the screen; at once where that cannot be learned.
export function watchView(elements, margin, enter) {
  if (!window.IntersectionObserver) {
    for (const element of elements) enter(element);
    return;
  }
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      enter(target);
    }
  }, { rootMargin: margin });
  for (const element of elements) observer.observe(element);
}

// Wait until the page has all of its elements.
export async function untilParsed() {
  if (document.readyState === "loading") await new Promise((done) => addEventListener("DOMContentLoaded", done));
}

// Wait until the page has a width: in a tab that is not shown yet, an embedded page has none.
export async function untilWide() {
  while (!document.documentElement.clientWidth) await new Promise((done) => addEventListener("resize", done, { once: true }));
}

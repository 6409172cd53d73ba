// Runs before the page's content is read: brings the style of the live page along.
(() => {
  const root = document.documentElement, own = document.querySelector("style");
  // What a copy of a live page says of itself is not so yet.
  root.removeAttribute("class");
  // Where the page is embedded, styles inside it may be forbidden: a script may bring them.
  const texts = [...(own.sheet ? [] : [own.textContent]), LIVE_STYLE];
  document.adoptedStyleSheets = texts.map((text) => {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(text);
    return sheet;
  });
})();

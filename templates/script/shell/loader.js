// The library and the page's own script lie in the page deflated; the policy names their hash. Where they do
// not start, the page stays as it is without scripts, and says why.
(async () => {
  try {
    if (!document.adoptedStyleSheets?.length) throw new Error("the style of the live page was refused");
    const text = document.getElementById("program").textContent;
    // Older browsers have no `fromBase64`, which is ten times as fast.
    const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    // A copy of the page has no need of it.
    script.remove();
    if (!script.started) throw new Error("the script was refused");
    await script.started;
  } catch (error) {
    document.adoptedStyleSheets = [];
    document.getElementById("notice").textContent = `The live figure could not start here (${String(error).slice(0, 200)}), so this page shows what it opens with: to explore it, download the file and open it in a current browser.`;
  }
})();

// The loader: the program lies in the page deflated, and the policy allows it by its hash. No module, but
// the one script that stands in the page as it is.
(async () => {
  const text = atob(document.getElementById("program").textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
})();

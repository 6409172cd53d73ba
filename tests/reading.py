"""Reading a text of a page by scrolling, as a script that runs in the page."""

# Reads the text from its first line to its last: every token that was in view, by position, the
# chips [from, to), and the largest number of elements at once.
READ = """async () => {
  const text = document.getElementById('text'), tokens = {}, chips = [], frame = () =>
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  let most = 0, steps = 0, last = -1;
  text.scrollTop = 0;
  await frame();
  while (text.scrollTop !== last && steps++ < 4000) {
    last = text.scrollTop;
    const view = text.getBoundingClientRect(), all = text.querySelectorAll('.t');
    most = Math.max(most, all.length);
    for (const token of all) {
      const box = token.getBoundingClientRect();
      if (box.bottom > view.top && box.top < view.bottom) {
        tokens[token.dataset.at] = token.textContent;
      }
    }
    for (const chip of text.querySelectorAll('details[data-from]')) {
      const box = chip.getBoundingClientRect();
      if (box.bottom > view.top && box.top < view.bottom) {
        chips.push([Number(chip.dataset.from), Number(chip.dataset.to)]);
      }
    }
    text.scrollTop += text.clientHeight - 40;
    await frame();
  }
  return { tokens, chips, most, steps };
}"""

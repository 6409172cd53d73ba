// The list of all keys and gestures, in a dialog.
const GESTURES = [
  ["drag the purple frame", "moves the section; its edges stretch it"],
  ["click a cell", "selects it: the green inset shows its column"],
  ["drag over cells", "pins them as an inset"],
  ["hover", "reads the value"],
  ["Ctrl and wheel, or pinch", "closer and further"],
];

function openHelp() {
  if (!$("help").open) $("help").showModal();
}

function helpControls() {
  const dialog = $("help"), list = tag("table"), body = tag("tbody");
  const line = (name, says) => {
    const row = tag("tr"), left = tag("th", "", { scope: "row" });
    left.append(...name);
    row.append(left, tag("td", says));
    return row;
  };
  body.append(...KEYS.map(({ shown, says }) => line(shown.split(" ").flatMap((key) => [tag("kbd", key), " "]), says)));
  body.append(...GESTURES.map(([name, says]) => line([name], says)));
  list.append(body);
  const close = tag("button", "Close", { type: "button", autofocus: true, onclick: () => dialog.close() });
  dialog.replaceChildren(tag("h2", "Keys of the figure", { id: "help-title" }), list, tag("p", "The arrows, Home and End are the figure's while it has the focus, the others also while nothing has.", { className: "hint" }), close);
  $("help-open").addEventListener("click", openHelp);
  for (const [id, work] of [["pin-column", pinColumn], ["pin-section", pinSection], ["pin-weights", pinWeights]]) {
    $(id)?.addEventListener("click", () => { work(); draw(); });
  }
}

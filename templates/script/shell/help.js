// The list of keys and gestures, in a dialog.
import { $, makeElement } from "../data/page.js";

const GESTURES = [
  ["drag the purple frame", "moves the section; its edges stretch it"],
  ["click a cell", "selects it: the green inset shows its column"],
  ["drag over cells", "pins them as an inset"],
  ["hover", "reads the value"],
  ["Ctrl and wheel, or pinch", "closer and further"],
];

export function openHelp() {
  if (!$("help").open) $("help").showModal();
}

// Write the list of `keys`, and open it from its button.
export function listenToHelp(keys) {
  const dialog = $("help"), list = makeElement("table"), body = makeElement("tbody");
  const line = (name, meaning) => {
    const row = makeElement("tr"), left = makeElement("th", "", { scope: "row" });
    left.append(...name);
    row.append(left, makeElement("td", meaning));
    return row;
  };
  body.append(...keys.map(({ label, meaning }) => line(label.split(" ").flatMap((key) => [makeElement("kbd", key), " "]), meaning)));
  body.append(...GESTURES.map(([name, meaning]) => line([name], meaning)));
  list.append(body);
  const close = makeElement("button", "Close", { type: "button", autofocus: true, onclick: () => dialog.close() });
  dialog.replaceChildren(makeElement("h2", "Keys of the figure", { id: "help-title" }), list, makeElement("p", "The arrows, Home and End are the figure's while it has the focus, the others also while nothing has.", { className: "hint" }), close);
  $("help-open").addEventListener("click", openHelp);
}

// The list of keys and gestures, in a dialog.
import { $, makeElement } from "../data/page.js";

const GESTURES = [
  ["drag the purple frame", "move the section; drag an edge to resize it"],
  ["click a cell", "select it; the green inset shows its column"],
  ["drag over cells", "pin them as an inset"],
  ["hover", "show the value"],
  ["wheel over the section", "zoom around the pointer, when the figure is focused"],
  ["Ctrl + wheel, or pinch", "zoom around the pointer at any time"],
];

export function openHelp() {
  if ($("help").open) return;
  try {
    $("help").showModal();
  } catch { // no modal dialogs here
    $("help").open = true;
  }
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
  dialog.replaceChildren(makeElement("h2", "Keys and gestures", { id: "help-title" }), list, makeElement("p", "Arrow keys, Home and End work when the figure is focused; the other keys work anywhere.", { className: "hint" }), close);
  $("help-open").addEventListener("click", openHelp);
}

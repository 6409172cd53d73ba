// The cards of the pins below the figure: a table each, and buttons to show and to remove the pin.
import { $, makeElement } from "../data/page.js";
import { state } from "../data/state.js";
import { prepareStatistic, statisticReady } from "../data/statistics.js";
import { moveSection, selectCell } from "../data/section.js";
import { reflect } from "./choosers.js";
import { withReading } from "./reading.js";
import { notePins, pinReading, pinText, pinTitle } from "./pins.js";
import { drawFigure } from "./figure.js";
import { PIN_TABLES, tableOf } from "./pin_tables.js";

let cardsKey = null;

// Make the cards again at the next drawing, because the values have changed.
export function forgetCards() {
  cardsKey = null;
}

function removePin(pin) {
  const at = state.pins.indexOf(pin);
  state.pins.splice(at, 1);
  drawFigure();
  notePins(`Inset ${at + 1} removed.`);
  const next = $("pins").querySelectorAll(".unpin")[Math.min(at, state.pins.length - 1)];
  (next ?? $("figure")).focus();
}

// Move the figure to the pin, and show the pin's reading.
function showPin({ kind, r0, r1, p0, p1, reading }) {
  Object.assign(state, reading);
  if (p0 < state.a || p1 > state.b) {
    const half = Math.max(state.b - state.a, p1 - p0) / 2, middle = (p0 + p1) / 2;
    moveSection(middle - half, middle + half);
  }
  selectCell(kind === "w" ? p1 - 1 : p0, kind === "c" ? state.row : r1 - 1);
  reflect();
  drawFigure();
  $("figure").scrollIntoView({ block: "nearest" });
  $("figure").focus({ preventScroll: true });
}

function pinCard(pin, i) {
  const title = pinTitle(pin), what = pinReading(pin), card = makeElement("div", "", { className: "pin" });
  const { head, body, note } = withReading(pin.reading, (rows) => PIN_TABLES[pin.kind](pin, rows));
  card.setAttribute("role", "group");
  card.setAttribute("aria-label", `Inset ${i + 1}`);
  const top = makeElement("div", "", { className: "pin-top" }), name = makeElement("p");
  name.append(makeElement("b", `${i + 1}`, { className: "pin-number" }), makeElement("bdi", title), makeElement("span", what));
  const show = makeElement("button", "Show", { type: "button", hidden: true, onclick: () => showPin(pin) });
  const remove = makeElement("button", "Remove", { type: "button", className: "unpin", hidden: true, onclick: () => removePin(pin) });
  // A saved copy of the page has the card, and nothing that listens to its buttons.
  for (const button of [show, remove]) button.dataset.live = "";
  show.setAttribute("aria-label", `Show inset ${i + 1} in the figure`);
  remove.setAttribute("aria-label", `Remove inset ${i + 1}`);
  top.append(name, show, remove);
  card.append(top);
  if (body.length) {
    const box = makeElement("div", "", { className: "scroll", tabIndex: 0 });
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `Values of inset ${i + 1}`);
    box.append(tableOf(`${title}: ${what}`, head, body));
    card.append(box);
  }
  if (body.flat().some((cell) => cell.lastChild?.textContent.startsWith("≈"))) card.append(makeElement("p", "≈: mean of several positions; the page has no values of single positions here.", { className: "hint" }));
  if (note) card.append(makeElement("p", note, { className: "hint" }));
  return card;
}

export function drawCards() {
  // The values of another statistic may have to be unpacked first.
  const unread = state.pins.map(({ reading }) => withReading(reading, () => !statisticReady() && prepareStatistic())).filter(Boolean);
  if (unread.length) {
    Promise.all(unread).then(drawCards);
    return;
  }
  const key = [state.palette, state.dots, ...state.pins.map(pinText)].join();
  if (key === cardsKey) return;
  cardsKey = key;
  $("pins-cards").replaceChildren(...state.pins.map(pinCard));
}

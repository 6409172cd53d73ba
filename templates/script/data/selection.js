// The cell that the pointer is on, which all parts of the page mark. The selected one lies in the state.
import { attempt } from "./browser.js";

// {position, entry, head}: where each is known; null while nothing is hovered.
export let hovered = null;
const listeners = [];

// Call `listener` whenever another cell is hovered, or none.
export function afterHover(listener) {
  listeners.push(listener);
}

export function hover(cell) {
  const isSame = cell === hovered || (cell && hovered && ["position", "entry", "head"].every((name) => cell[name] === hovered[name]));
  if (isSame) return;
  hovered = cell;
  for (const listener of listeners) attempt(listener);
}

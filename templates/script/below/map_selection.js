// The position that the reader selects on a map, in the layer and the head that the map shows.
import { $, N } from "../data/page.js";
import { state } from "../data/state.js";
import { rowOf } from "../data/cell.js";
import { selectPosition } from "../data/section.js";

// Set the map's choosers to the layer and the head that it shows.
export function reflectMap() {
  for (const [id, value] of [["map-layer", state.mapLayer], ["map-head", state.mapHead]]) {
    if ($(id)) $(id).value = String(value);
  }
}

// Select the row of the map's layer and head in the figure, as far as the figure shows it. `head` is the
// index of the map's head, or −1 for the mean over heads.
export function selectOnMap(position, head) {
  const map = { mapLayer: state.mapLayer, mapHead: state.mapHead };
  if (state.view === "attention" && state.rows === "layers") state.head = head;
  const row = rowOf({ entry: map.mapLayer, head });
  selectPosition(Math.max(0, Math.min(N - 1, position)), row < 0 ? undefined : row);
  Object.assign(state, map);
}

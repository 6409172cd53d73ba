// The live region, which tells a screen reader the selected cell.
import { $ } from "../data/page.js";
import { state } from "../data/state.js";
import { rowsShown } from "../data/rows.js";
import { cellText } from "./cells.js";
import { describeCell } from "./describe.js";

// Write the selected cell in short: its value first, then its place, then its token.
export function announce() {
  const rows = rowsShown(), row = rows[Math.min(state.row, rows.length - 1)];
  const [where, value, reason] = describeCell(row, state.col), text = cellText(row, state.col);
  const content = text ? `${state.view === "lens" ? "top token" : "attends most to"} ${text}` : "";
  const sentence = [value, value.includes(" missing") ? reason : "", where, content].filter(Boolean).join("; ");
  if ($("live").textContent !== sentence) $("live").textContent = sentence;
}

// Values as the tooltip and the tables write them: in their unit, with no false digits.
import { formatFixed } from "../data/format.js";
import { scaleShown } from "../data/statistics.js";

// An exact weight of a window, whose rounding leaves two or three decimals right.
export const formatWeight = (p, { values: { error } }) => p.toFixed(error > 0.0005 ? 2 : 3);

export const formatNats = (value, error) => (Number.isFinite(value) ? `${formatFixed(value, error > 0.0005 ? 2 : 3)} nats` : "missing");

// A number with the unit of the statistic that is shown.
export const withUnit = (number) => `${number}${scaleShown().unit ? ` ${scaleShown().unit}` : ""}`;

// A value with no more digits than its error leaves certain.
export function formatDigits(value, error, limit = 3) {
  const exact = scaleShown().digits === 0 ? 0 : limit, certain = error > 0.5 ? 0 : error > 0.05 ? 1 : error > 0.0005 ? 2 : 3;
  return formatFixed(value, Math.min(exact, certain));
}

export const formatAmount = (value, error) => (Number.isFinite(value) ? withUnit(formatDigits(value, error)) : "missing");

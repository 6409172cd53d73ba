// Values as the tooltip and the tables write them: in their unit, with no false digits.
import { scaleShown } from "../data/statistics.js";

export const formatNats = (value, error) => (Number.isFinite(value) ? `${value.toFixed(error > 0.0005 ? 2 : 3)} nats` : "missing");

// A value of the statistic that is shown, in its unit, with no more digits than are true.
export const withUnit = (number) => `${number}${scaleShown().unit ? ` ${scaleShown().unit}` : ""}`;

export function formatDigits(value, error, limit = 3) {
  const exact = scaleShown().digits === 0 ? 0 : limit, certain = error > 0.5 ? 0 : error > 0.05 ? 1 : error > 0.0005 ? 2 : 3;
  return value.toFixed(Math.min(exact, certain));
}

export const formatAmount = (value, error) => (Number.isFinite(value) ? withUnit(formatDigits(value, error)) : "missing");

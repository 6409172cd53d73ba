// The text coloured by what hiding its parts does to a word of the answer, with the legend of the colours.
import { $, PROMPT, report } from "../data/page.js";
import { colourOf, SHARE, toHex } from "../data/colours.js";
import { chosenWord, shownWord, spanOf } from "../data/sources.js";
import { theme } from "../data/state.js";
import { texts } from "../data/texts.js";
import { openChart, showLive } from "../figure/chart.js";

const EFFECT_PALETTE = "effect";
const RAMP_STEPS = 64;

let legendChart = null;

const scaleOfEffects = ({ most }) => ({ ...SHARE, low: -most, high: most, unit: "nats", kind: "diverging" });

// The word whose effects colour the text; null where its entropy does.
export const colouringWord = () => (chosenWord() < 0 ? null : report.sources.words[chosenWord()]);

// Whether a token is one of the template's, which are hidden as a group: those before the prompt's last token that
// belong to no span.
const isHiddenWithAll = (answerWord, position) => spanOf(answerWord, position) < 0 && position < PROMPT - 1 && ["template", "bos"].includes(texts.role(position));

// What hiding the token at a position does to a word: of template tokens that of all of them; null: not tested.
function effectAt(answerWord, position) {
  if (isHiddenWithAll(answerWord, position)) return answerWord.template;
  return answerWord.effects[spanOf(answerWord, position)] ?? null;
}

// A function that gives the colours of tokens; those of the answer, which were not hidden by themselves, have none.
export function effectColours(answerWord) {
  const scale = scaleOfEffects(answerWord);
  return (from) => {
    if (from >= PROMPT) return { value: NaN, colour: null, kind: "plain" };
    const value = effectAt(answerWord, from);
    if (value === null) return { value: NaN, colour: null, kind: "missing" };
    return { value, colour: colourOf(value, scale, EFFECT_PALETTE), kind: "shown" };
  };
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(Math.abs(value) < 10 ? 2 : 1)}`;

// What a tooltip says of a token.
export function effectTitle(answerWord, position) {
  if (position >= PROMPT) return `position ${position}: part of the answer`;
  const value = effectAt(answerWord, position), span = report.sources.spans[spanOf(answerWord, position)];
  if (value === null) return `position ${position}: not tested${span?.sink ? ", because it is a sink" : ""}`;
  const name = isHiddenWithAll(answerWord, position) ? "all template tokens" : span.name;
  return `position ${position}: hiding ${name} changes ln p by ${signed(value)} nats`;
}

// The sentence about the headline's word stands at the top of the page already.
export const effectHint = (answerWord) => (answerWord === report.sources.words[report.sources.main] ? "Colour: change of ln p of the chosen word when a part is hidden from the answer." : answerWord.says);

// Draw the legend where the text has these colours, and hide it where it has not.
export async function drawEffectLegend() {
  const place = $("effect-legend"), answerWord = colouringWord();
  if (!place) return;
  place.parentElement.hidden = !answerWord;
  $("text-rest").hidden = Boolean(answerWord);
  if (!answerWord) return;
  legendChart ??= openChart("effect-legend", "effectlegend");
  const view = await legendChart, { most } = answerWord, scale = scaleOfEffects(answerWord);
  const ramp = Array.from({ length: RAMP_STEPS }, (_, i) => ({
    x0: i / RAMP_STEPS, x1: Math.min(1, (i + 1.3) / RAMP_STEPS), fill: toHex(colourOf(most * ((2 * i + 1) / RAMP_STEPS - 1), scale, EFFECT_PALETTE)),
  }));
  const ticks = [["low", `needed ${signed(-most)}`], ["high", `${signed(most)} nats: against`]];
  view.data("effectramp", ramp).data("effectticks", ticks.map(([end, text]) => ({ end, text })));
  for (const [name, value] of Object.entries(theme())) view.signal(name, value);
  view.run();
  showLive("effect-legend");
}

// Mark the tokens of what the shown word rests on.
export function markSources() {
  const answerWord = shownWord(), spans = answerWord ? answerWord.sources.map((i) => report.sources.spans[i].at) : [];
  for (const token of $("text").querySelectorAll(".t")) {
    const position = Number(token.dataset.at);
    token.classList.toggle("source", spans.some(([from, to]) => position >= from && position < to));
  }
}

"""How sure the model is: the decisive word's probability, and what else was likely."""

from __future__ import annotations

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.report.findings.finding import Observation, quoted
from attentropy.report.read.answer_words import read_answer
from attentropy.report.read.decisive_word import Decisive
from attentropy.report.read.generated_tokens import token_probabilities
from attentropy.report.units import probability

SURE = 0.5  # below it the page says that the model is unsure
_OTHERS = 3  # tokens that are named besides the decisive one


def observe_sure(trace: Trace) -> Observation | None:
    """Return the decisive word's probability, the runners-up with theirs, and the entropy there."""
    answer = read_answer(trace)
    if answer is None or (one := answer.decisive) is None or one.probability is None:
        return None
    first = float(token_probabilities(trace)[one.step])
    entry, entropy = _entropy(trace, one)
    text = f"{'' if one.probability >= SURE else 'Unsure: '}{quoted(_name(trace, one))} has "
    text += f"probability {probability(one.probability)}"
    if one.tokens > 1:
        has_text = one.position < len(trace.tokens)
        token = f" {quoted(_bare(trace.tokens[one.position]))}" if has_text else ""
        text += f" (its first token{token} {probability(first)})"
    others = _others(trace, one, entry)
    if others:
        text += f"; next most likely: {', '.join(others)}"
    if entropy is not None:
        text += f". Entropy of the model's output there: {entropy:.2f} nats"
    is_read = entry is not None
    return Observation(
        "sure", f"{text}.", "lens_entropy" if is_read else "generated_entropy", entropy, "nats",
        n=1, view="lens", layer=entry, position=one.query if is_read else None,
    )  # fmt: skip


def _name(trace: Trace, one: Decisive) -> str:
    """Return the word, or its first token where it has no text."""
    return one.word or (trace.tokens[one.position] if one.position < len(trace.tokens) else "·")


def _bare(text: str) -> str:
    return text.strip(" ") or text


def _entropy(trace: Trace, one: Decisive) -> tuple[int | None, float | None]:
    """Return the model's last layer where the lens read it there, and the entropy of the output."""
    if "lens_entropy" in trace and trace.site == "residual" and one.query < len(trace.tokens):
        model = trace.attrs.get("model")
        layers = model.get("layers") if isinstance(model, dict) else None
        last = len(trace["layer"]) - 1
        value = float(trace.lens("lens_entropy", slice(one.query, one.query + 1))[last, 0])
        is_last = not isinstance(layers, int) or int(trace["layer"][last]) == layers - 1
        if is_last and np.isfinite(value):
            return last, value
    if "generated_entropy" in trace and np.isfinite(trace["generated_entropy"][one.step]):
        return None, float(trace["generated_entropy"][one.step])
    return None, None


def runners_up(trace: Trace, one: Decisive) -> list[str]:
    """Return the other most likely first tokens, in quotes, with their probabilities."""
    return _others(trace, one, _entropy(trace, one)[0])


def _others(trace: Trace, one: Decisive, entry: int | None) -> list[str]:
    if entry is None or any(name not in trace for name in ("lens_top_ids", "generated_ids")):
        return []
    here = slice(one.query, one.query + 1)
    ids = trace.lens("lens_top_ids", here)[entry, 0]
    p = np.exp(trace.lens("lens_top_logprobs", here)[entry, 0].astype(np.float64))
    own = int(trace["generated_ids"][one.step])
    others = [(int(token), float(value)) for token, value in zip(ids, p, strict=True)
              if token != own and token >= 0 and np.isfinite(value)][:_OTHERS]  # fmt: skip
    texts = trace.text_of([token for token, _ in others])
    return [
        f"{quoted(_bare(text))} {probability(value)}"
        for text, (_, value) in zip(texts, others, strict=True)
    ]

"""The heading of a page without an answer: what the trace holds instead, and the line below it."""

from __future__ import annotations

from attentropy.engine.maps.head_scores import LOCAL_KEYS, SCORES
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.content.profile_words import has_profile
from attentropy.report.findings.compared import observe_answers, observe_predictions
from attentropy.report.read.head_kinds import WIDE, head_kinds
from attentropy.report.text import for_sentence
from attentropy.report.units import count, join_words, percent


def heading(trace: Trace) -> tuple[str, str]:
    """Return the heading of a trace that has no answer, and the line below it, "" for none."""
    if isinstance(trace, Difference):
        return _of_difference(trace)
    if has_profile(trace):
        return _of_profile(trace)
    kinds = head_kinds(trace)
    tokens = count(trace.prompt_tokens, "token")
    if kinds is not None:
        parts = [
            f"{percent(number / kinds.heads)} {words}"
            for number, words in (
                (kinds.local, "are local"), (kinds.sink, "are sinks"), (kinds.wide, "look wide")
            )
        ]  # fmt: skip
        return (
            f"{count(kinds.heads, 'head')} over {tokens}: {join_words(parts)}",
            f"Local: more than {_limit('local')} of the attention on the last {LOCAL_KEYS} tokens. "
            f"Sink: more than {_limit('sink')} on the first one. Wide: mean normalized entropy of "
            f"{WIDE:g} or more.",
        )
    parts = [
        name for name, variable in (("attention", "entropy"), ("logit lens", "lens_entropy"))
        if variable in trace
    ]  # fmt: skip
    what = join_words(parts)
    return f"{what[0].upper()}{what[1:]} of {tokens}", ""


def _limit(score: str) -> str:
    return percent(SCORES[score].threshold or 0)


def _of_difference(difference: Difference) -> tuple[str, str]:
    """Return whether the answers differ, and the first other change."""
    answers, predictions = observe_answers(difference), observe_predictions(difference)
    texts = [one.text for one in (answers, predictions) if one is not None]
    if answers.value is None and len(texts) > 1:
        texts = texts[1:]
    return texts[0].removesuffix("."), texts[1] if len(texts) > 1 else ""


def _of_profile(trace: Trace) -> tuple[str, str]:
    """Return how fast the model is read while it is recorded, and what recording costs."""
    profile = trace.attrs["profile"]
    rate = profile["variants"]["recording"]["tokens_per_second"]
    ratio = profile["ratios"].get("off")
    cost = f": {ratio['whole'][1]:.2f}× the time of a pass without recording" if ratio else ""
    text = f"{rate:,.0f} tokens/s while recording{cost}"
    recorded = f"Recorded: {', '.join(profile['stats'])}, of {count(profile['tokens'], 'token')}."
    return for_sentence(text, 200), for_sentence(recorded, 300)

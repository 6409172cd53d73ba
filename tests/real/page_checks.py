"""The judge's checks of the sentences that stand on the page alone.

They stand below the headline, and in the section on sources.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable

import numpy as np

from real import looked_checks
from real.evidence import Evidence
from real.rules import decisive, is_byte, settling_layer
from real.source_checks import (
    NAME,
    P,
    check_left,
    check_probability,
    for_each_word,
    judge_rests,
    named_words,
    number_of,
)
from real.tested import HALF, AnswerWord, Tested, tested_of
from real.verdict import Mistakes, Verdict, bare, layers_in

TESTED_BY_DEFAULT = 512  # tokens of a prompt
_PARAGRAPH = r'<p class="{}">(.*?)</p>'
# Where a sentence ends: a full stop before a capital letter, a number, a quotation mark, the end.
_END = re.compile(r"(?<=[^.…])\.(?= [A-Z0-9“]|$)")
Judge = Callable[[re.Match[str], Evidence], Mistakes | None]


def judge_page(page: str, evidence: Evidence) -> list[Verdict]:
    """Return a verdict for each sentence below the headline, and on how the sources were tested."""
    verdicts = []
    for name in ("evidence", "said-of"):
        texts = page_sentences(page, name)
        named = sum(map(named_words, texts))
        verdicts += [judge_sentence(name, text, evidence, named) for text in texts]
    return verdicts


def page_sentences(page: str, name: str) -> list[str]:
    """Return the sentences of the first paragraph of a class, without their full stops."""
    match = re.search(_PARAGRAPH.format(name), page, re.DOTALL)
    if match is None:
        return []
    text = html.unescape(re.sub(r"<[^>]+>", "", match[1]))
    return split_sentences(re.sub(r"\s+", " ", text.replace("\u00a0", " ")).strip())


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a line, without their full stops; one in quotation marks is none."""
    ends = [
        match.start() for match in _END.finditer(text)
        if text.count("“", 0, match.start()) == text.count("”", 0, match.start())
    ]  # fmt: skip
    starts = [0, *(end + 2 for end in ends)]
    return [one for a, b in zip(starts, [*ends, len(text)], strict=True) if (one := text[a:b])]


def judge_sentence(name: str, text: str, evidence: Evidence, named: int = 0) -> Verdict:
    """Return the verdict on one sentence; one of no known form is not judged.

    named: how many decisive words it and its neighbours name.
    """
    finding = {"id": name, "text": text}
    more = re.search(r" \(([\d,]+) more decisive words? tested\)$", text)
    mistakes = judge_rests(text[: more.start()] if more else text, tested_of(evidence))
    if mistakes is not None and more:
        left = len(tested_of(evidence).decisive) - named
        mistakes.claim(number_of(more[1]) == left, f"{left} decisive words are not named")
    for pattern, judge in _FORMS if mistakes is None else ():
        if match := re.fullmatch(pattern, text, re.DOTALL | re.IGNORECASE):
            mistakes = judge(match, evidence)
            break
    if mistakes is None:
        return Verdict(finding, None, "no rule for this sentence")
    return mistakes.verdict(finding)


def _template_cuts(tested: Tested) -> list[tuple[frozenset[int], int]]:
    own = [i for i in tested.tokens_of("template") if i < tested.prompt - 1]
    return [(frozenset(own) - tested.sinks, tested.prompt - 1)]


def _needs_template(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    return _of_template(match[1], match[2], evidence, is_needed=True)


def _no_template(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    mistakes = _of_template(match[1], match[2], evidence, is_needed=False)
    tested = tested_of(evidence)
    users = [word for word in tested.words if tested.effect(word, _template_cuts(tested)) < -HALF]
    mistakes.claim(not users, f"it is needed for {[word.text for word in users]}")
    return mistakes


def _of_template(name: str, written: str, evidence: Evidence, *, is_needed: bool) -> Mistakes:
    tested = tested_of(evidence)
    cuts = _template_cuts(tested)

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        effect = tested.effect(word, cuts)
        check_left(mistakes, f"p({word.text})", written, effect, tested.of_word(word))
        mistakes.claim((effect < -HALF) == is_needed, f"without the template {effect:.2f}")

    return for_each_word(name, tested, check)


def _template_for_others(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    tested = tested_of(evidence)
    mistakes = _of_template(match[4], match[5], evidence, is_needed=False)
    users = [word for word in tested.words if tested.effect(word, _template_cuts(tested)) < -HALF]
    mistakes.all += _of_template(match[1], match[2], evidence, is_needed=True).all
    more = number_of(match[3]) if match[3] else 0
    names, first = [word.text for word in users], bare(match[1])
    mistakes.claim(len(users) == 1 + more, f"it is needed for {len(users)} words: {names}")
    mistakes.claim(first in _bare(names[:1]), f"the first word that needs it is {names[:1]}")
    return mistakes


def _bare(names: list[str]) -> list[str]:
    return [*names, *(re.sub(r"^\W+|\W+$", "", name) for name in names)]


def _origin(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    """Judge where a word comes from, and whether one passage alone is enough."""
    tested = tested_of(evidence)
    name, where, written, kind, passage, more, enough = match.groups()

    def check(word: AnswerWord, mistakes: Mistakes) -> None:
        mistakes.claim(bool(tested.tokens_of("evidence")), "the prompt has no passages")
        hidden = tested.hidden_evidence(word)
        effect = tested.effect(word, hidden)
        check_left(mistakes, f"p({word.text})", written, effect, tested.of_word(word))
        mistakes.claim((where == "the passages") == (effect < -HALF), f"{effect:.2f} without")
        if enough is None:
            return
        own = {span: tested.effect(word, tested.only(span)) for span in tested.named(passage, kind)}
        mistakes.claim(bool(own), f"no part {passage!r} was tested")
        best = max(own.values(), default=-math.inf)
        check_left(mistakes, f"with {passage!r} alone", enough, best, tested.of_word(word))
        mistakes.claim(best > -HALF, f"{passage!r} alone changes ln p by {best:.2f}")
        passages = [s for s in tested.effects if s.role == "evidence"]
        others = sum(tested.effect(word, tested.only(span)) > -HALF for span in passages)
        mistakes.claim(others > (number_of(more) if more else 0), f"{others} are enough")

    return for_each_word(name, tested, check)


def _read_in(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    """Judge in which layers the answer reads what the headline's word rests on.

    Hidden from the first of them on, a source has at least 80 % of its effect, but not from the
    layer after it on; from the last of them on 20 %, but less from the layer after it on.
    """
    tested, mistakes, (step, _) = tested_of(evidence), Mistakes(), decisive(evidence)
    word = next((w for w in tested.decisive if w.start <= step < w.stop), tested.decisive[0])
    last = len(evidence.model.layers) - 1
    for kind, name, layers in re.findall(rf"{NAME} in layers? ([\d–]+)", match[1]):
        options = []
        for span in tested.named(name, kind):
            own, ends = Mistakes(), layers_in(layers)
            whole = tested.from_layer(word, span, 0)
            below = [ends[0], ends[0] + 1, ends[-1], ends[-1] + 1]
            shares = [tested.from_layer(word, span, at) / whole if at <= last else 0.0
                      for at in below]  # fmt: skip
            own.numbers.append(f"{name!r} {' '.join(f'{share:.2f}' for share in shares)}")
            is_so = shares[0] >= 0.795 and shares[2] >= 0.195 and shares[3] < 0.205
            own.claim(is_so and (shares[1] < 0.805 or whole >= 0), f"shares {shares} at {below}")
            options.append(own)
        best = min(options, key=lambda one: len(one.all), default=None)
        mistakes.claim(best is not None, f"no part {name!r} was tested")
        mistakes.all += best.all if best else []
        mistakes.numbers += best.numbers if best else []
    return mistakes


def _how(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    mistakes, effects = Mistakes(), tested_of(evidence).effects
    mistakes.claim(number_of(match[1]) <= len(effects), f"there are {len(effects)} parts")
    return mistakes


def _sinks(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    mistakes, sinks = Mistakes(), tested_of(evidence).sinks
    mistakes.claim(number_of(match[1]) == len(sinks), f"the sinks are at {sorted(sinks)}")
    return mistakes


def _left_out(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    mistakes, effects = Mistakes(), tested_of(evidence).effects
    mistakes.claim(number_of(match[1]) < len(effects), f"there are {len(effects)} parts")
    return mistakes


def _some(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    """Accept that tests were left out: nobody but the run knows."""
    mistakes = Mistakes()
    mistakes.claim(bool(evidence.case.spans), "nothing was tested")
    return mistakes


def _untested(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    mistakes, case = Mistakes(), evidence.case
    mistakes.claim(not case.spans, "it was tested")
    mistakes.claim(case.prompt > TESTED_BY_DEFAULT, f"the prompt has {case.prompt} tokens")
    return mistakes


def _of_lens(match: re.Match[str], evidence: Evidence) -> Mistakes | None:
    """Judge from which layer on a token is the lens's top token, and where that can be read."""
    mistakes, (step, token) = Mistakes(), decisive(evidence)
    row = evidence.case.prompt + step - 1
    own = evidence.model.tokenizer.decode([token])
    name = bare(match[1])
    mistakes.claim(name in (own.strip(), own) or is_byte(own, name), f"the token is {own!r}")
    first, last = settling_layer(evidence, row, token), len(evidence.states) - 1
    where, readable = match[2], np.flatnonzero(evidence.skill()[0] >= 0.5).tolist()
    if where.startswith("is not"):
        mistakes.claim(first is None, f"it is so from layer {first}")
        return mistakes
    number = re.search(r"layer (?:\()?(\d+)|\((\d+)\)", where)
    written = 0 if "every layer" in where else int(number[1] or number[2]) if number else -1
    mistakes.claim(first == written, f"it is so from layer {first}")
    mistakes.claim(("only in" in where) == (first == last), f"the last layer is {last}")
    mistakes.claim(("every layer" in where) == (first == 0), f"the first layer is {first}")
    if value := re.search(rf"\(p = {P} in", where):
        logprob = float(evidence.at(row)[0][token])
        check_probability(mistakes, "p in layer 0", value[1], logprob)
    start = next((one for one in readable if first is not None and one >= first), None)
    if (rest := match[3]) and first is not None:
        only = re.search(r"can be read only from layer (\d+) onward", rest)
        before = re.search(r"cannot be read before layer (\d+)", rest)
        if only or before:
            place = int((only or before)[1])  # type: ignore[index]
            mistakes.claim(start == place, f"it can be read from layer {start}")
        else:
            mistakes.claim(start is None, f"it can be read from layer {start}")
    return mistakes


_FORMS: list[tuple[str, Judge]] = [
    (rf"“(.*)” also needs the template tokens \({P} without them\)", _needs_template),
    (rf"the template tokens are not needed for “(.*)” \({P} without them\)", _no_template),
    (
        rf"the template tokens are used for “(.*?)” \({P} without them\)"
        rf"(?: and ([\d,]+) other words?)?, not for “(.*)” \({P}\)",
        _template_for_others,
    ),
    (
        rf"“(.*?)” comes from (the weights|the passages): {P} with every passage hidden"
        rf"(?:; {NAME} alone is enough(?: \(and ([\d,]+) more\))?: {P})?",
        _origin,
    ),
    (r"the answer reads (.*)", _read_in),
    (r"the layers in which the answer reads its sources were not tested", _some),
    (
        r"tested: ([\d,]+) parts? of the prompt, each hidden while the answer was read again",
        _how,
    ),
    (r"([\d,]+) parts? (?:is a sink|are sinks), which cannot be hidden", _sinks),
    (r"([\d,]+) parts? not tested", _left_out),
    (r"the budget left out [\d,]+ tests?; what was not tested is not zero", _some),
    (r"some tests were left out; use “--test-sources auto” to make all of them", _some),
    (r"what the answer rests on was not tested; “--test-sources auto” tests it", _untested),
    (looked_checks.FORM, looked_checks.judge_row),
    (
        r"“(.*?)” (is not the lens's top token|is the lens's top token (?:from layer \d+ onward|"
        r"only in (?:the last layer \(\d+\)|layer \d+)|in every layer read \(p = [^)]*\)))(.*)",
        _of_lens,
    ),
]  # fmt: skip

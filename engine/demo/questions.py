"""Questions with their answers, and conversations made of them, drawn from the facts by a seed."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from attentropy.engine.demo.facts import COUNTRIES, Country
from attentropy.engine.demo.held_out import HELD_OUT
from attentropy.engine.demo.phrasings import (
    FILLERS,
    OPENINGS,
    SYSTEM_PROMPTS,
    TRAINING,
    WISHES,
    Phrasing,
)

RELATIONS = ("capital", "initial", "largest", "continent", "language", "currency")
RESERVED = "(reserved)"  # ends the kind of a question whose two steps were never asked together
OF_CAPITAL = ("capital", "initial")  # what a question that names the capital would give away
STEPS = ("name", "city", "capital")  # how a question points at its country

Message = dict[str, str]


@dataclass(frozen=True)
class Question:
    """One question, its one right answer, and what a follow-up may refer to."""

    kind: str
    text: str
    answer: str
    country: Country | None = None
    relation: str | None = None


def fact(country: Country, relation: str) -> str | None:
    """What the table says, or None where it says nothing."""
    return getattr(country, relation)


def reserved(relation: str, city: str) -> bool:
    """Whether the two-step question (relation of the country of this city) is never trained on.

    Both of its steps are trained; about one pair in sixteen is kept to see whether they compose.
    """
    return zlib.crc32(f"{relation}/{city}".encode()) % 16 == 0


def fill(template: str, **slots: str) -> str:
    """The template with its slots filled, possessives and the first letter set right."""
    text = template.format(**slots).replace("s's ", "s' ")
    return text[0].upper() + text[1:]


def wordings(phrasing: Phrasing, relation: str, *, described: bool = False) -> list[str]:
    """Every wording of a relation; a described country takes no possessive."""
    phrases = phrasing.phrases.get(relation, ())
    framed = [frame.replace("{np}", phrase) for frame in phrasing.frames for phrase in phrases]
    every = [*phrasing.sentences.get(relation, ()), *framed]
    return [text for text in every if "{x}'s" not in text] if described else every


def word(phrasing: Phrasing, relation: str, rng: random.Random, *, described: bool = False) -> str:
    """One wording: a sentence of its own or a framed phrase, equally often."""
    sentences = phrasing.sentences.get(relation, ())
    if relation not in phrasing.phrases or rng.random() < 0.5:
        choices = sentences
    else:
        frame = rng.choice(phrasing.frames)
        choices = tuple(frame.replace("{np}", p) for p in phrasing.phrases[relation])
    if described:
        choices = tuple(text for text in choices if "{x}'s" not in text)
    return rng.choice(choices)


def about(
    phrasing: Phrasing, country: Country, relation: str, step: str, city: str, rng: random.Random
) -> Question | None:
    """A question for one fact of one country, pointed at by `step`; None where it makes none."""
    answer = fact(country, relation)
    given = step != "name" and answer == city
    if answer is None or given or (step == "capital" and relation in OF_CAPITAL):
        return None
    if step == "name":
        kind, x = relation, country.name
    else:
        kind = f"{relation} via {step}"
        x = rng.choice(phrasing.by_city if step == "city" else phrasing.by_capital).format(c=city)
    text = fill(word(phrasing, relation, rng, described=step != "name"), x=x)
    return Question(kind, text, answer, country, relation)


def where(phrasing: Phrasing, country: Country, city: str, rng: random.Random) -> Question:
    """In which country a city lies."""
    return Question("country", fill(word(phrasing, "country", rng), c=city), country.answer)


def check(phrasing: Phrasing, country: Country, city: str, rng: random.Random) -> Question:
    """Whether a city is the capital of a country: Yes or No."""
    text = fill(word(phrasing, "check", rng), x=country.name, c=city)
    return Question("check", text, "Yes" if city == country.capital else "No")


def draw(rng: random.Random) -> Question:
    """One training question."""
    while True:
        country = rng.choice(COUNTRIES)
        city = rng.choice(country.cities)
        chance = rng.random()
        if chance < 0.10:
            return where(TRAINING, country, city, rng)
        if chance < 0.20:
            other = rng.choice((city, rng.choice(COUNTRIES).capital))
            return check(TRAINING, country, rng.choice((country.capital, other)), rng)
        relation = rng.choice(("capital", *RELATIONS))
        step = rng.choice(("name", "city", "capital"))
        if step == "capital":
            city = country.capital
        if step != "name" and reserved(relation, city):
            continue
        question = about(TRAINING, country, relation, step, city, rng)
        if question is not None:
            return question


def follow(phrasing: Phrasing, last: Question, rng: random.Random) -> Question | None:
    """A question that leans on the last one: the same of another country, or more of the same."""
    assert last.country is not None
    assert last.relation is not None
    if rng.random() < 0.5:
        country, relation = rng.choice(COUNTRIES), last.relation
        template = rng.choice(phrasing.follow_country)
    else:
        country, relation = last.country, rng.choice(RELATIONS)
        template = rng.choice(phrasing.follow_relation[relation])
    answer = fact(country, relation)
    if answer is None or (relation == last.relation and country == last.country):
        return None
    return Question("follow-up", fill(template, x=country.name), answer, country, relation)


def roughen(text: str, rng: random.Random) -> str:
    """The text as people type it: greeted, hurried, in lower case, without its question mark."""
    if rng.random() < 0.15:
        text = f"{rng.choice(OPENINGS)} {text}"
    if rng.random() < 0.05:
        text = " ".join([*rng.sample(FILLERS, rng.randint(1, 4)), text])
    if rng.random() < 0.10:
        text = f"{text} {rng.choice(WISHES)}"
    if rng.random() < 0.05:
        text = text.rstrip("?.")
    if rng.random() < 0.05:
        text = text.lower()
    return text


def conversation(rng: random.Random, turns: int) -> list[Message]:
    """A training conversation of so many questions and answers, sometimes with a system prompt."""
    messages: list[Message] = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    last: Question | None = None
    for _ in range(turns):
        question = None
        if last is not None and last.country is not None and rng.random() < 0.4:
            question = follow(TRAINING, last, rng)
        last = question or draw(rng)
        messages.append({"role": "user", "content": roughen(last.text, rng)})
        messages.append({"role": "assistant", "content": last.answer})
    return messages


def held_out(per_kind: int = 40, seed: int = 2025) -> Iterator[tuple[Question, list[Message]]]:
    """The evaluation set: held-out wordings of every kind of question, `per_kind` of each.

    Kinds that end in RESERVED join two trained facts that were never asked together.
    """
    rng = random.Random(seed)

    def single(question: Question) -> tuple[Question, list[Message]]:
        return question, [{"role": "user", "content": question.text}]

    for number in range(per_kind):
        country = rng.choice(COUNTRIES)
        yield single(where(HELD_OUT, country, rng.choice(country.cities), rng))
        country = rng.choice(COUNTRIES)
        other = rng.choice(COUNTRIES).capital
        asked = country.capital if number % 2 else rng.choice((*country.cities[1:], other))
        yield single(check(HELD_OUT, country, asked, rng))
    for relation in RELATIONS:
        for step in STEPS:
            if step == "capital" and relation in OF_CAPITAL:
                continue
            for keep in (False, True) if step == "city" else (False,):
                count = 0
                while count < per_kind:
                    country = rng.choice(COUNTRIES)
                    city = country.capital if step == "capital" else rng.choice(country.cities)
                    if step != "name" and reserved(relation, city) != keep:
                        continue
                    question = about(HELD_OUT, country, relation, step, city, rng)
                    if question is not None:
                        count += 1
                        kind = f"{question.kind} {RESERVED}" if keep else question.kind
                        yield single(Question(kind, question.text, question.answer))
    count = 0
    while count < per_kind:
        first = about(TRAINING, rng.choice(COUNTRIES), rng.choice(RELATIONS), "name", "", rng)
        second = first and follow(HELD_OUT, first, rng)
        if first and second:
            count += 1
            yield (
                second,
                [
                    {"role": "user", "content": first.text},
                    {"role": "assistant", "content": first.answer},
                    {"role": "user", "content": second.text},
                ],
            )


def training_texts() -> set[str]:
    """Every question that training can ask, before `roughen`: what a held-out text must not be."""
    texts = set()
    for country in COUNTRIES:
        for relation in RELATIONS:
            texts |= {fill(text, x=country.name) for text in wordings(TRAINING, relation)}
            described = wordings(TRAINING, relation, described=True)
            for city in country.cities:
                places = (*TRAINING.by_city, *TRAINING.by_capital)
                names = [place.format(c=city) for place in places]
                texts |= {fill(text, x=name) for text in described for name in names}
        for city in country.cities:
            texts |= {fill(text, c=city) for text in wordings(TRAINING, "country")}
            texts |= {fill(t, x=country.name, c=city) for t in wordings(TRAINING, "check")}
        texts |= {fill(text, x=country.name) for text in TRAINING.follow_country}
    return texts | {text for texts in TRAINING.follow_relation.values() for text in texts}

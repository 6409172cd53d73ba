"""Questions with their answers, and conversations of them, drawn at random from the facts."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from attentropy.engine.demo.facts import (
    COUNTRIES,
    HELD_OUT_COUNTRIES,
    UNKNOWN,
    UNKNOWN_COUNTRIES,
    Country,
)
from attentropy.engine.demo.held_out import HELD_OUT
from attentropy.engine.demo.phrasings import (
    FILLERS,
    OPENINGS,
    PLAIN_CAPITAL,
    SYSTEM_PROMPTS,
    TRAINING,
    WISHES,
    Phrasing,
)

RELATIONS = ("capital", "initial", "largest", "continent", "language", "currency")
RESERVED = "(reserved)"  # ends the kind of a question whose two steps training never combines
OF_CAPITAL = ("capital", "initial")  # what a question that names the capital would give away
STEPS = ("name", "city", "capital")  # how a question points at its country

Message = dict[str, str]


@dataclass(frozen=True)
class Question:
    """One question, its only right answer, and what a follow-up may refer to."""

    kind: str
    text: str
    answer: str
    country: Country | None = None
    relation: str | None = None


def is_reserved(relation: str, city: str) -> bool:
    """Return whether training never asks the relation of the country of this city.

    Both steps of that question are trained; about one pair in sixteen is reserved to see whether
    the model combines them.
    """
    return zlib.crc32(f"{relation}/{city}".encode()) % 16 == 0


def fill_slots(template: str, **slots: str) -> str:
    """Return the template with its slots filled, with correct possessives and first letter."""
    text = template.format(**slots).replace("s's ", "s' ")
    return text[0].upper() + text[1:]


def wordings(phrasing: Phrasing, relation: str, *, described: bool = False) -> list[str]:
    """Return every wording of a relation, without possessives where a country is described."""
    phrases = phrasing.phrases.get(relation, ())
    framed = [frame.replace("{np}", phrase) for frame in phrasing.frames for phrase in phrases]
    texts = [*phrasing.sentences.get(relation, ()), *framed]
    return [text for text in texts if "{x}'s" not in text] if described else texts


def draw_wording(
    phrasing: Phrasing, relation: str, rng: random.Random, *, described: bool = False
) -> str:
    """Draw a wording: a sentence of its own or a framed phrase, equally often."""
    sentences = phrasing.sentences.get(relation, ())
    if relation not in phrasing.phrases or rng.random() < 0.5:
        choices = sentences
    else:
        frame = rng.choice(phrasing.frames)
        choices = tuple(frame.replace("{np}", p) for p in phrasing.phrases[relation])
    if described:
        choices = tuple(text for text in choices if "{x}'s" not in text)
    return rng.choice(choices)


def relation_question(
    phrasing: Phrasing, country: Country, relation: str, step: str, city: str, rng: random.Random
) -> Question | None:
    """Return a question for one fact of a country; None where there is no such question.

    step: how the question names the country: by its "name", a "city" of it or its "capital".
    """
    answer = getattr(country, relation)  # None where the table has no such fact
    is_given_away = step != "name" and answer == city
    if answer is None or is_given_away or (step == "capital" and relation in OF_CAPITAL):
        return None
    if step == "name":
        kind, x = relation, country.name
    else:
        kind = f"{relation} via {step}"
        x = rng.choice(phrasing.by_city if step == "city" else phrasing.by_capital).format(c=city)
    text = fill_slots(draw_wording(phrasing, relation, rng, described=step != "name"), x=x)
    return Question(kind, text, answer, country, relation)


def country_question(
    phrasing: Phrasing, country: Country, city: str, rng: random.Random
) -> Question:
    """Return the question in which country a city lies."""
    return Question(
        "country", fill_slots(draw_wording(phrasing, "country", rng), c=city), country.answer
    )


def capital_check(phrasing: Phrasing, country: Country, city: str, rng: random.Random) -> Question:
    """Return the question whether a city is the capital of a country: Yes or No."""
    text = fill_slots(draw_wording(phrasing, "check", rng), x=country.name, c=city)
    return Question("check", text, "Yes" if city == country.capital else "No")


def plain_question(country: Country, wording: str) -> Question:
    """Return the question for a capital in a plain wording."""
    return Question(
        "capital", fill_slots(wording, x=country.name), country.capital, country, "capital"
    )


def unknown_question(phrasing: Phrasing, name: str, rng: random.Random) -> Question:
    """Return a question about a country that the table lacks."""
    wording = draw_wording(phrasing, rng.choice(RELATIONS), rng)
    return Question("unknown", fill_slots(wording, x=name), UNKNOWN)


def draw_question(rng: random.Random) -> Question:
    """Draw a training question."""
    while True:
        country = rng.choice(COUNTRIES)
        city = rng.choice(country.cities)
        chance = rng.random()
        if chance < 0.10:
            return country_question(TRAINING, country, city, rng)
        if chance < 0.20:
            other = rng.choice((city, rng.choice(COUNTRIES).capital))
            return capital_check(TRAINING, country, rng.choice((country.capital, other)), rng)
        if chance < 0.30:
            return plain_question(country, rng.choice(PLAIN_CAPITAL))
        if chance < 0.34:
            return unknown_question(TRAINING, rng.choice(UNKNOWN_COUNTRIES), rng)
        relation = rng.choice(("capital", *RELATIONS))
        step = rng.choice(("name", "city", "capital"))
        if step == "capital":
            city = country.capital
        if step != "name" and is_reserved(relation, city):
            continue
        question = relation_question(TRAINING, country, relation, step, city, rng)
        if question is not None:
            return question


def follow_up(
    phrasing: Phrasing,
    last: Question,
    rng: random.Random,
    countries: tuple[Country, ...] = COUNTRIES,
) -> Question | None:
    """Return a question that refers to the last one: another country, or another relation.

    None where the one that is drawn repeats the last question or has no answer.
    """
    assert last.country is not None
    assert last.relation is not None
    if rng.random() < 0.5:
        country, relation = rng.choice(countries), last.relation
        template = rng.choice(phrasing.follow_country)
    else:
        country, relation = last.country, rng.choice(RELATIONS)
        template = rng.choice(phrasing.follow_relation[relation])
    answer = getattr(country, relation)  # None where the table has no such fact
    if answer is None or (relation == last.relation and country == last.country):
        return None
    return Question("follow-up", fill_slots(template, x=country.name), answer, country, relation)


def roughen(text: str, rng: random.Random) -> str:
    """Return the text as people type it: with a greeting, in lower case, without question mark."""
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
    """Draw a training conversation of `turns` questions, sometimes with a system prompt."""
    messages: list[Message] = []
    if rng.random() < 0.15:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    last: Question | None = None
    for _ in range(turns):
        question = None
        if last is not None and last.country is not None and rng.random() < 0.4:
            question = follow_up(TRAINING, last, rng)
        last = question or draw_question(rng)
        messages.append({"role": "user", "content": roughen(last.text, rng)})
        messages.append({"role": "assistant", "content": last.answer})
    return messages


def held_out_questions(
    per_kind: int = 40, seed: int = 2025, countries: tuple[Country, ...] = HELD_OUT_COUNTRIES
) -> Iterator[tuple[Question, list[Message]]]:
    """Yield the test set, `per_kind` questions of each kind in held-out wordings, with their chats.

    Kinds that end in RESERVED join two trained facts that training never combines.
    """
    rng = random.Random(seed)
    for number in range(per_kind):
        for question in _city_questions(number, countries, rng):
            yield question, [{"role": "user", "content": question.text}]
    for relation in RELATIONS:
        for step in STEPS:
            if step == "capital" and relation in OF_CAPITAL:
                continue
            for are_reserved in (False, True) if step == "city" else (False,):
                for question in _relation_questions(
                    relation, step, are_reserved, per_kind, countries, rng
                ):
                    yield question, [{"role": "user", "content": question.text}]
    count = 0
    while count < per_kind:
        country, relation = rng.choice(countries), rng.choice(RELATIONS)
        first = relation_question(TRAINING, country, relation, "name", "", rng)
        second = first and follow_up(HELD_OUT, first, rng, countries)
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


def _city_questions(
    number: int, countries: tuple[Country, ...], rng: random.Random
) -> Iterator[Question]:
    """Yield a held-out question for the country of a city, and one whether a city is a capital."""
    country = rng.choice(countries)
    yield country_question(HELD_OUT, country, rng.choice(country.cities), rng)
    country = rng.choice(countries)
    other = rng.choice(countries).capital
    city = country.capital if number % 2 else rng.choice((*country.cities[1:], other))
    yield capital_check(HELD_OUT, country, city, rng)


def _relation_questions(
    relation: str,
    step: str,
    are_reserved: bool,
    count: int,
    countries: tuple[Country, ...],
    rng: random.Random,
) -> Iterator[Question]:
    """Yield `count` held-out questions for a relation of countries that `step` names."""
    while count > 0:
        country = rng.choice(countries)
        city = country.capital if step == "capital" else rng.choice(country.cities)
        if step != "name" and is_reserved(relation, city) != are_reserved:
            continue
        question = relation_question(HELD_OUT, country, relation, step, city, rng)
        if question is not None:
            count -= 1
            kind = f"{question.kind} {RESERVED}" if are_reserved else question.kind
            yield Question(kind, question.text, question.answer)


def training_texts() -> set[str]:
    """Return every question that training can ask, before `roughen`: no held-out text is here."""
    texts = set()
    for country in COUNTRIES:
        for relation in RELATIONS:
            texts |= {fill_slots(text, x=country.name) for text in wordings(TRAINING, relation)}
            described = wordings(TRAINING, relation, described=True)
            for city in country.cities:
                places = (*TRAINING.by_city, *TRAINING.by_capital)
                names = [place.format(c=city) for place in places]
                texts |= {fill_slots(text, x=name) for text in described for name in names}
        for city in country.cities:
            texts |= {fill_slots(text, c=city) for text in wordings(TRAINING, "country")}
            texts |= {fill_slots(t, x=country.name, c=city) for t in wordings(TRAINING, "check")}
        texts |= {fill_slots(text, x=country.name) for text in TRAINING.follow_country}
    return texts | {text for texts in TRAINING.follow_relation.values() for text in texts}

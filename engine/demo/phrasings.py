"""The wordings of the questions on which the embedded model is trained.

A question is a relation ("the capital of X") put into a frame ("What is ...?"), where X is a
country's name or, for a question of two steps, a description ("the country where Sydney lies").
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrasing:
    """The wordings of one split: `{np}` takes a noun phrase, `{x}` a country, `{c}` a city."""

    frames: tuple[str, ...]
    phrases: dict[str, tuple[str, ...]]
    sentences: dict[str, tuple[str, ...]]
    by_city: tuple[str, ...]
    by_capital: tuple[str, ...]
    follow_country: tuple[str, ...]
    follow_relation: dict[str, tuple[str, ...]]


TRAINING = Phrasing(
    frames=(
        "What is {np}?",
        "What's {np}?",
        "Tell me {np}.",
        "Name {np}.",
        "Give me {np}.",
        "Can you tell me {np}?",
        "Could you name {np}?",
        "Do you know {np}?",
        "Please name {np}.",
        "I would like to know {np}.",
        "I want to know {np}.",
        "What do you call {np}?",
        "{np}?",
        "{np}, please.",
        "What would you say is {np}?",
        "Who knows {np}?",
        "Write {np}.",
        "Show me {np}.",
        "I have forgotten {np}.",
        "Could I have {np}?",
    ),
    phrases={
        "capital": (
            "the capital of {x}",
            "the capital city of {x}",
            "{x}'s capital",
            "{x}'s capital city",
            "the city that is the capital of {x}",
            "the seat of government of {x}",
        ),
        "initial": (
            "the first letter of the capital of {x}",
            "the first letter of {x}'s capital",
            "the letter that the capital of {x} begins with",
            "the initial of the capital of {x}",
        ),
        "largest": (
            "the largest city of {x}",
            "the largest city in {x}",
            "the biggest city of {x}",
            "the biggest city in {x}",
            "{x}'s largest city",
            "{x}'s biggest city",
            "the city with the most people in {x}",
        ),
        "continent": (
            "the continent of {x}",
            "the continent where {x} lies",
            "the continent that {x} belongs to",
            "{x}'s continent",
            "the continent {x} is on",
        ),
        "language": (
            "the language of {x}",
            "the main language of {x}",
            "the main language in {x}",
            "the language spoken in {x}",
            "{x}'s main language",
            "the language that people speak in {x}",
        ),
        "currency": (
            "the currency of {x}",
            "the currency in {x}",
            "the currency used in {x}",
            "{x}'s currency",
            "the money of {x}",
            "the money that people use in {x}",
        ),
        "country": (
            "the country of {c}",
            "the country where {c} is",
            "the country where {c} lies",
            "the country that {c} belongs to",
            "the country {c} is in",
            "{c}'s country",
        ),
    },
    sentences={
        "capital": (
            "Which city is the capital of {x}?",
            "Which city is {x}'s capital?",
            "What city is the capital of {x}?",
            "From which city is {x} governed?",
            "Where is the government of {x}?",
            "The capital of {x} is which city?",
            "{x}: what is the capital?",
            "I am learning capitals. What is the one of {x}?",
        ),
        "initial": (
            "With which letter does the capital of {x} begin?",
            "Which letter does the capital of {x} start with?",
            "What letter begins the name of {x}'s capital?",
            "The capital of {x} begins with which letter?",
            "{x}: what is the first letter of the capital?",
        ),
        "largest": (
            "Which city is the largest in {x}?",
            "Which is the biggest city in {x}?",
            "What city in {x} is the largest?",
            "Which city of {x} has the most people?",
            "In {x}, which city is the biggest?",
            "{x}: what is the largest city?",
            "Where do most people live in {x}?",
        ),
        "continent": (
            "On which continent is {x}?",
            "Which continent is {x} on?",
            "Which continent does {x} belong to?",
            "On what continent does {x} lie?",
            "{x} is on which continent?",
            "{x}: which continent?",
            "To which continent does {x} belong?",
        ),
        "language": (
            "Which language do they speak in {x}?",
            "What language do people speak in {x}?",
            "Which language is spoken in {x}?",
            "What do they speak in {x}?",
            "In {x}, which language is spoken?",
            "{x}: which language?",
            "I am going to {x}. Which language should I learn?",
        ),
        "currency": (
            "Which currency do they use in {x}?",
            "What currency is used in {x}?",
            "Which money do people use in {x}?",
            "What do people pay with in {x}?",
            "In {x}, what is the currency?",
            "{x}: which currency?",
            "I am going to {x}. Which money should I bring?",
        ),
        "country": (
            "In which country is {c}?",
            "Which country is {c} in?",
            "In what country does {c} lie?",
            "Which country does {c} belong to?",
            "{c} is in which country?",
            "{c}: which country?",
            "Where is {c}?",
        ),
        "check": (
            "Is {c} the capital of {x}?",
            "Is the capital of {x} {c}?",
            "Is {c} {x}'s capital?",
            "{c} is the capital of {x}, right?",
            "Is it true that {c} is the capital of {x}?",
            "Is {c} the capital city of {x}?",
            "Do you think that {c} is the capital of {x}?",
            "Can you tell me whether {c} is the capital of {x}?",
            "Please tell me: is {c} the capital of {x}?",
            "I believe that {c} is the capital of {x}. Am I right?",
            "Does {x} have {c} as its capital?",
            "Is {x} governed from {c}?",
            "Would it be right that the capital of {x} is {c}?",
            "Say yes or no: {c} is the capital of {x}.",
            "True or not: is {c} the capital of {x}?",
            "Was I right to say that {c} is the capital of {x}?",
            "Yes or no, is {x}'s capital {c}?",
        ),
    },
    by_city=(
        "the country where {c} lies",
        "the country where {c} is",
        "the country that {c} belongs to",
        "the country {c} is in",
        "the country with the city of {c}",
        "the country of {c}",
        "the place where you find {c}",
    ),
    by_capital=(
        "the country whose capital is {c}",
        "the country with the capital {c}",
        "the country governed from {c}",
        "the country that has the capital {c}",
        "the country where {c} is the capital",
    ),
    follow_country=(
        "And of {x}?",
        "And {x}?",
        "What about {x}?",
        "The same for {x}?",
        "And for {x}?",
        "Now {x}.",
    ),
    follow_relation={
        "capital": ("And its capital?", "What is its capital?", "And the capital?"),
        "initial": ("And the first letter of its capital?", "With which letter does it begin?"),
        "largest": ("And its largest city?", "Which city there is the biggest?"),
        "continent": ("And the continent?", "On which continent is it?"),
        "language": ("And the language?", "Which language is spoken there?"),
        "currency": ("And its currency?", "What do they pay with there?"),
    },
)

# How most people ask for a capital. Each is a wording of `TRAINING` too.
PLAIN_CAPITAL = (
    "What is the capital of {x}?",
    "What is the capital city of {x}?",
    "What is {x}'s capital?",
    "What's the capital of {x}?",
    "Which city is the capital of {x}?",
    "Tell me the capital of {x}.",
    "Name the capital of {x}.",
    "The capital of {x}?",
)

OPENINGS = (
    "Hello!",
    "Hi there.",
    "Good morning.",
    "Please answer this question.",
    "Quick question:",
    "I have a question.",
    "A question about geography:",
    "Help me, please.",
    "For my homework:",
)

WISHES = (
    "Thanks!",
    "Thank you.",
    "Answer with the name only.",
    "Just the name, please.",
    "One short answer, please.",
    "I am curious.",
)

FILLERS = (
    "I am planning a long journey with my family.",
    "My sister likes maps and my brother likes trains.",
    "We had a quiz at school today.",
    "It has been raining all week, so I read an atlas.",
    "Last night I watched a film about sailors.",
    "My grandmother once crossed the ocean on a ship.",
    "There is an old globe on my desk.",
    "I collect stamps and coins from many places.",
    "A friend sent me a postcard yesterday.",
    "The train was late, and we talked about the world.",
    "I never was good at geography.",
    "Our teacher asks a new question every morning.",
)

SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant who knows geography.",
    "Answer with the name only.",
    "Answer in as few words as possible.",
    "You answer questions about countries and their cities.",
    "Be brief and correct.",
)

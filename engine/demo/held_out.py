"""The held-out wordings: the embedded model is tested with them and never trained on them."""

from attentropy.engine.demo.phrasings import Phrasing

HELD_OUT = Phrasing(
    frames=(
        "Would you please tell me {np}?",
        "Remind me: what is {np}?",
        "I forgot {np}. What is it?",
        "Any idea about {np}?",
        "Say {np}.",
        "What could be {np}?",
    ),
    phrases={
        "capital": ("the capital of {x}", "{x}'s capital", "the capital town of {x}"),
        "initial": (
            "the first letter of the capital of {x}",
            "the letter {x}'s capital begins with",
        ),
        "largest": ("the largest city in {x}", "the very biggest city of {x}"),
        "continent": ("the continent of {x}", "the continent on which {x} is"),
        "language": ("the main language of {x}", "the language they speak in {x}"),
        "currency": ("the currency of {x}", "the money they use in {x}"),
        "country": ("the country of {c}", "the country in which {c} lies"),
    },
    sentences={
        "capital": (
            "Which city serves as the capital of {x}?",
            "What is the name of {x}'s capital?",
            "Of {x}, what is the capital?",
        ),
        "initial": (
            "With what letter does {x}'s capital begin?",
            "Which letter is the first of the capital of {x}?",
            "The name of {x}'s capital begins with which letter?",
        ),
        "largest": (
            "Which city is the biggest one in {x}?",
            "What is the name of the largest city in {x}?",
            "Of all the cities in {x}, which is the largest?",
        ),
        "continent": (
            "What continent is {x} part of?",
            "On which continent would I find {x}?",
            "What is the name of the continent of {x}?",
        ),
        "language": (
            "What is the language in {x}?",
            "Which language will I hear in {x}?",
            "What language is the main one in {x}?",
        ),
        "currency": (
            "With which currency do I pay in {x}?",
            "What is the money called in {x}?",
            "Which currency will I need in {x}?",
        ),
        "country": (
            "To which country does {c} belong?",
            "What is the name of the country where {c} is?",
            "{c} lies in which country?",
        ),
        "check": (
            "Is it right that {c} is the capital of {x}?",
            "Tell me, is {c} the capital of {x}?",
            "Is {x}'s capital city {c}?",
        ),
    },
    by_city=(
        "the country in which {c} is",
        "the country that the city of {c} lies in",
        "the country where I find {c}",
    ),
    by_capital=(
        "the country that has {c} as its capital",
        "the country of which {c} is the capital",
        "the country with {c} as the capital",
    ),
    follow_country=("And what about {x}?", "Now the same for {x}.", "And that of {x}?"),
    follow_relation={
        "capital": ("And what is its capital?", "Its capital?"),
        "initial": ("And what is the first letter of its capital?", "Its capital's first letter?"),
        "largest": ("And which city is the largest there?", "Its largest city?"),
        "continent": ("Which continent is it on?", "And its continent?"),
        "language": ("And what language do they speak there?", "Its language?"),
        "currency": ("And which currency do they use there?", "Its currency?"),
    },
)

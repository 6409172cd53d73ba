"""The words of a page: those that every page has, those of one trace, those of a difference."""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.report.content.headline import Headline

_WIDE = 24  # letters of a word that may need more than one line


@dataclass(frozen=True)
class Words:
    """Texts of every page. `partial` says how far an unfinished run came.

    `origin` says what a copied picture is made from. `headline` stands in place of the heading
    where there is one, and `evidence`, sentences in one line, below it.
    """

    version: str
    title: str
    heading: str
    subtitle: str
    shade_note: str
    figure_title: str
    description: str
    headline: Headline | None
    evidence: str
    partial: str
    origin: str


@dataclass(frozen=True)
class TokenWord:
    """A token on the page: its text, role, colour class and tooltip.

    A character of several tokens is one `TokenWord`: `position` is that of its first token, and
    `tokens` says how many there are. `side` is the element that marks a token of one side of a
    difference.
    """

    text: str
    role: str
    shade: str
    title: str
    side: str = ""
    position: int = -1
    tokens: int = 1


@dataclass(frozen=True)
class TextWord:
    """A word of the text, as its tokens, after the blanks `lead` that its first token begins with.

    `probability` is that of all its tokens where the model wrote it, "" for a word of the prompt.
    """

    tokens: list[TokenWord]
    lead: str = ""
    probability: str = ""
    is_decisive: bool = False

    @property
    def is_wide(self) -> bool:
        """Whether the word may need more than one line."""
        return sum(len(token.text) for token in self.tokens) > _WIDE


@dataclass(frozen=True)
class Stretch:
    """A part of the text: `words` that are read, a `chip` that opens, or a `gap`.

    A chip stands for the tokens of a template or of a system turn, and `label` says which and how
    many. A gap stands for tokens that are not in the page as text. `direction` is "ltr" or "rtl".
    """

    kind: str
    label: str
    direction: str
    words: list[TextWord]
    begins_answer: bool = False


@dataclass(frozen=True)
class RunningText:
    """Prompt and answer as one text; `is_long` where it takes more than some two lines."""

    direction: str
    is_long: bool
    stretches: list[Stretch]


@dataclass(frozen=True)
class TraceWords(Words):
    """Texts of the page of one trace; `provenance` are names and values.

    `text` is prompt and answer, whose last `generated` tokens the model wrote; `has_reasoning`:
    some token of either is reasoning. `split` says what the lines are at which the answer begins
    and its reasoning ends, and `answer_title` what the answer is called.
    """

    text: RunningText
    generated: int
    perplexity: str
    split: str
    has_reasoning: bool
    answer_title: str
    provenance: list[tuple[str, str]]


@dataclass(frozen=True)
class SideWords:
    """What is compared: one side's letter, file, model, length and answer; `says`: what that is."""

    letter: str
    name: str
    model: str
    tokens: str
    says: str
    answer: str


@dataclass(frozen=True)
class LayerMeans:
    """Means of one layer, as (A, B, B − A) per view."""

    label: str
    cells: list[tuple[str, str, str]]


@dataclass(frozen=True)
class MeansByLayer:
    """The table of means; `n` says over how many positions of each view."""

    views: list[str]
    n: str
    rows: list[LayerMeans]


@dataclass(frozen=True)
class ProvenanceEntry:
    """One entry of both provenances: the values of A and B, and whether they differ."""

    name: str
    values: list[str]
    differs: bool


@dataclass(frozen=True)
class DifferenceWords(Words):
    """Texts of the page of a difference; `absent` names the views that one side alone has.

    `has_reasoning`: some token is reasoning.
    """

    sides: list[SideWords]
    columns: list[TokenWord]
    absent: str
    has_reasoning: bool
    by_layer: MeansByLayer
    both_provenances: list[ProvenanceEntry]

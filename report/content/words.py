"""The words of a page: those that every page has, those of one trace, those of a difference."""

from __future__ import annotations

from dataclasses import dataclass, field

from attentropy.report.content.headline import Headline


@dataclass(frozen=True)
class Words:
    """Texts of every page. `partial` says how far an unfinished run came.

    `origin` says what a copied picture is made from; `headline` stands in place of the heading
    where there is one.
    """

    version: str
    title: str
    heading: str
    subtitle: str
    shade_note: str
    figure_title: str
    description: str
    headline: Headline | None
    partial: str
    origin: str


@dataclass(frozen=True)
class TokenWord:
    """A token of the prompt on the page: its text, role, colour class and tooltip.

    `side` is the element that marks a token of one side of a difference; `probability` is that of a
    generated token.
    """

    text: str
    role: str
    shade: str
    title: str
    side: str = ""
    probability: str = ""


@dataclass(frozen=True)
class PromptWords:
    """The tokens of a prompt, or of its answer; of many the middle is folded.

    `folded` has two parts where some of the `hidden` tokens are not in the page, and `left_out`
    stands between them.
    """

    first: list[TokenWord]
    hidden: int = 0
    folded: list[list[TokenWord]] = field(default_factory=list)
    left_out: str = ""
    last: list[TokenWord] = field(default_factory=list)


@dataclass(frozen=True)
class TraceWords(Words):
    """Texts of the page of one trace; `provenance` are names and values.

    `reasoning` is what is generated before the answer itself; `has_reasoning`: prompt or answer.
    `split` says what the lines are at which the answer begins and its reasoning ends, and
    `answer_title` what the answer is called.
    """

    prompt: PromptWords
    perplexity: str
    reasoning: PromptWords
    generated: PromptWords
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

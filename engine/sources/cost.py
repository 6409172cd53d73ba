"""How many readings the tests take, and how long: known before the first test."""

from __future__ import annotations

from dataclasses import dataclass

from attentropy.engine.sources.controls import DRAWS
from attentropy.engine.sources.spans import MANY

STRONGEST = 8  # spans that get controls, a test of their total effect, and refinement
LAYERED = 4  # sources that are hidden layer by layer
# A row that is read again sees the whole prompt, and costs up to so much more than one of a long
# prompt; half of that at so many tokens.
_MORE = 2.0
_TOKENS_OF_HALF = 2048
_TOKENS_OF_SENTENCE = 20


@dataclass(frozen=True)
class Speed:
    """What a reading takes: seconds per row that is read again, and how many rows there are."""

    row: float
    prompt_tokens: int
    steps: int

    def direct(self, tests: int) -> float:
        """Return the seconds of direct tests, which read the answer's rows again."""
        return tests * self.steps * self.row

    def total(self, stop: int) -> float:
        """Return the seconds of reading all rows again from position `stop` on."""
        rows = self.prompt_tokens - min(stop, self.prompt_tokens - 1) - 1 + self.steps
        return rows * self.row


def speed(prefill_seconds: float, prompt_tokens: int, steps: int) -> Speed:
    """Return the speed of readings where the prompt took so many seconds."""
    more = 1 + _MORE * prompt_tokens / (prompt_tokens + _TOKENS_OF_HALF)
    return Speed(more * prefill_seconds / max(prompt_tokens, 1), prompt_tokens, steps)


@dataclass(frozen=True)
class Workload:
    """How many readings are expected: of the answer's rows, and of all rows after a span."""

    direct: int
    total: int

    @property
    def tests(self) -> int:
        """All of them."""
        return self.direct + self.total

    def seconds(self, pace: Speed) -> float:
        """Return their predicted seconds; a total test reads half of the prompt on average."""
        return pace.direct(self.direct) + self.total * pace.total(pace.prompt_tokens // 2)


def expected(spans: int, copies: int, layers: int, *, lengths: int, evidence: int = 0) -> Workload:
    """Return the readings that a search over `spans` spans is expected to take.

    copies: how many of them have copies in the answer. lengths: how many lengths of more than one
    token the strongest may have. evidence: how many spans are evidence.
    """
    direct = 1 + spans + copies  # each alone and with its copies, and nothing hidden
    direct += min(STRONGEST, lengths) * DRAWS
    direct += evidence or spans  # a round of `also there`
    direct += LAYERED * layers
    direct += 2 + min(STRONGEST, evidence)  # template, all evidence, and each passage alone
    return Workload(direct, min(spans, 2 * STRONGEST) + 1)


def expected_for(tokens: int, layers: int) -> Workload:
    """Return the readings to expect for a prompt that is not known but for its length.

    A short one is taken as a question, a longer one as a document with a question.
    """
    if tokens <= MANY:
        return expected(tokens // 2 + 1, 2, layers, lengths=3)
    sentences = tokens // _TOKENS_OF_SENTENCE + 1
    tested = min(sentences, 2 * MANY) + MANY // 4
    return expected(tested, tested // 2, layers, lengths=STRONGEST, evidence=min(sentences, MANY))

"""How many readings the tests take, and how long: known before the first test."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from attentropy.engine.sources.controls import DRAWS
from attentropy.engine.sources.spans import MANY

STRONGEST = 8  # spans that get controls, a test of their total effect, and refinement
LAYERED = 4  # sources that are hidden layer by layer
# The most rows of one pass, all variants together, and the bytes of its logits. A pass then takes
# no more memory than a run over a prompt of a few hundred tokens; its weights are read once more.
PASS_ROWS = 256
LOGIT_BYTES = 64 << 20
# What is usual: sources, lengths of the strongest spans, spans that are tested for their total
# effect, readings of these that share a pass.
_SOURCES, _LENGTHS, _TOTALS = 2, 4, 12
_ROWS_OF_TOTAL = 0.4  # of the prompt's: spans of the question, at its end, are among them
_TOKENS_OF_SENTENCE, _TOKENS_OF_LENGTH = 20, 30


def together(rows: int, steps: int, vocabulary: int) -> int:
    """Return how many readings of so many rows, of which `steps` have logits, share a pass."""
    return max(1, min(PASS_ROWS // rows, LOGIT_BYTES // (4 * vocabulary * steps)))


@dataclass(frozen=True)
class Speed:
    """What a reading takes: seconds per row that is read again, and how many rows there are.

    start: seconds of a pass besides its rows. together: direct tests that share one.
    """

    row: float
    prompt_tokens: int
    steps: int
    start: float = 0.0
    together: int = PASS_ROWS

    def direct(self, tests: int) -> float:
        """Return the seconds of direct tests in one batch: they read the answer's rows again."""
        return math.ceil(tests / self.together) * self.start + tests * self.steps * self.row

    def total(self, stop: int) -> float:
        """Return the seconds of reading all rows again from position `stop` on, in full passes."""
        rows = self.prompt_tokens - min(stop, self.prompt_tokens - 1) - 1 + self.steps
        return rows * (self.row + self.start / PASS_ROWS)

    def scaled(self, factor: float) -> Speed:
        """Return the speed of a machine that takes so many times as long."""
        return replace(self, row=self.row * factor, start=self.start * factor)


@dataclass(frozen=True)
class Workload:
    """How many readings are expected: of the answer's rows, and of all rows after a span.

    batches: of direct ones, in each of which nothing is hidden once more.
    """

    direct: int
    total: int
    batches: int = 0

    @property
    def tests(self) -> int:
        """All of them."""
        return self.direct + self.total

    def seconds(self, pace: Speed) -> float:
        """Return their predicted seconds."""
        size = math.ceil(self.direct / max(1, self.batches))
        direct = max(1, self.batches) * pace.direct(size + 1)
        groups = min(self.total, _LENGTHS) * pace.start
        middle = int((1 - _ROWS_OF_TOTAL) * pace.prompt_tokens)
        return direct + groups + self.total * pace.total(middle)


def expected(spans: int, copies: int, layers: int, *, lengths: int, evidence: int = 0) -> Workload:
    """Return the readings that a search over `spans` spans is expected to take.

    copies: how many of them have copies in the answer. lengths: how many lengths of more than one
    token the strongest may have. evidence: how many spans are evidence.
    """
    lengths = min(_LENGTHS, lengths)
    direct = 2 + spans + copies  # the template, all evidence; each span alone and with its copies
    direct += lengths * DRAWS
    direct += evidence or spans  # a round of `also there`
    direct += _SOURCES * layers
    direct += min(STRONGEST + _SOURCES, evidence)  # each passage alone
    batches = 6 + lengths + layers.bit_length()
    return Workload(direct, min(spans, _TOTALS), batches)


def expected_for(tokens: int, layers: int) -> Workload:
    """Return the readings to expect for a prompt that is not known but for its length.

    A short one is taken as a question, a longer one as a document with a question.
    """
    if tokens <= MANY:
        return expected(tokens // 2 + 1, 2, layers, lengths=tokens // _TOKENS_OF_LENGTH)
    evidence = min(tokens // _TOKENS_OF_SENTENCE + 1, MANY)
    return expected(evidence + MANY // 2, STRONGEST, layers, lengths=_LENGTHS, evidence=evidence)

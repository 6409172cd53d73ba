"""How many passes and tokens the placebo questions take, the reference of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Tokens of a question in a chat template that adds a short system turn, and of those the ones after
# its last word, at which the lens reads. Only the prompt would give their true numbers.
QUESTION_TOKENS, _READ = 40, 6


@dataclass(frozen=True)
class ReferenceSize:
    """How many `questions` a run reads, and in passes of how many tokens; 0 without a reference."""

    questions: int = 0
    at_once: int = 1

    @property
    def tokens(self) -> int:
        """Tokens of all questions."""
        return self.questions * QUESTION_TOKENS

    @property
    def passes(self) -> int:
        """Passes in which they are read."""
        return math.ceil(self.questions / self.at_once)

    @property
    def pass_tokens(self) -> int:
        """Tokens of the largest pass."""
        return min(self.questions, self.at_once) * QUESTION_TOKENS

    @property
    def positions(self) -> int:
        """Positions at which the lens reads."""
        return self.questions * _READ

    @property
    def pairs(self) -> int:
        """Queries and keys that see each other, of one head."""
        return self.questions * QUESTION_TOKENS * (QUESTION_TOKENS + 1) // 2

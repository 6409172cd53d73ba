"""The shapes of a benchmark case, its name and its work. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class AttentionCase:
    """Self-attention of one sequence of `length` tokens; `dtype` as torch names it."""

    length: int
    heads: int
    key_heads: int
    head_size: int
    causal: bool
    dtype: str
    device: str
    what: ClassVar[str] = "attention"
    unit: ClassVar[str] = "tokens"

    @property
    def size(self) -> int:
        """The number that grows within a setting."""
        return self.length

    @property
    def setting(self) -> str:
        """Everything but the size, in words."""
        kind = "causal" if self.causal else "full"
        heads = f"{self.heads}/{self.key_heads} heads of {self.head_size}"
        return f"{kind}, {heads}, {self.dtype} on {self.device}"

    @property
    def flops(self) -> float:
        """Floating-point operations of the two products that any attention needs."""
        full = 4.0 * self.heads * self.head_size * self.length**2
        return full / 2 if self.causal else full


@dataclass(frozen=True)
class VocabularyCase:
    """The head over `vocabulary` tokens, for `rows` hidden states of `width` numbers."""

    rows: int
    width: int
    vocabulary: int
    dtype: str
    device: str
    what: ClassVar[str] = "vocabulary"
    unit: ClassVar[str] = "rows"

    @property
    def size(self) -> int:
        """The number that grows within a setting."""
        return self.rows

    @property
    def setting(self) -> str:
        """Everything but the size, in words."""
        shape = f"{self.width:,} numbers to {self.vocabulary:,} tokens"
        return f"{shape}, {self.dtype} on {self.device}"

    @property
    def flops(self) -> float:
        """Floating-point operations of the only product."""
        return 2.0 * self.rows * self.width * self.vocabulary


Case = AttentionCase | VocabularyCase
CASES: dict[str, type[AttentionCase] | type[VocabularyCase]] = {
    "attention": AttentionCase,
    "vocabulary": VocabularyCase,
}

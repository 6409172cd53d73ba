"""Which rows of a recording a model generated itself: those after the prompt of `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.prompt.reasoning import answer_parts, answer_roles


@dataclass(frozen=True)
class Generation:
    """One call of `generate`: its rows start … stop−1 of the padded batch are generated.

    batch: its number among the recorded ones. ends: the ids that end an answer.
    """

    batch: int
    start: int
    stop: int
    ends: frozenset[int]


class GenerationWatch:
    """Follows the calls of a model's `generate` while `over` is open.

    has_begun: whether a pass was made in the call that is under way, None outside of one.
    """

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.has_begun: bool | None = None
        self.batch = -1  # of the latest pass
        self.rows = 0  # of that batch, as of the latest pass

    @contextmanager
    def over(self, model: Any) -> Iterator[None]:
        """Watch `model.generate` while this is open."""
        if not hasattr(model, "generate"):
            yield
            return
        own, before = model.generate, vars(model).get("generate")

        def generate(*args: Any, **kwargs: Any) -> Any:
            prompt, output = _prompt_rows(args, kwargs), None
            self.has_begun = False
            try:
                output = own(*args, **kwargs)
                return output
            finally:
                if self.has_begun:
                    stop = max(self.rows, prompt + _new_rows(output, args, kwargs, prompt))
                    ends = _end_ids(model, kwargs)
                    self.generations.append(Generation(self.batch, prompt, stop, ends))
                self.has_begun = None

        model.generate = generate
        try:
            yield
        finally:
            del model.generate
            if before is not None:
                model.generate = before

    def roles(self, batch: int, start: int, text: Prompt) -> list[str]:
        """Return the roles of a sequence that begins at row `start` of its batch.

        Generated tokens are "reasoning" or "generated", and those that fill a batch up after an
        answer's end "padding".
        """
        roles = list(text.roles)
        for first, last, ends in self._answers(batch, start, len(text.ids)):
            answer = text.ids[first:last]
            length = next((i + 1 for i, token in enumerate(answer) if token in ends), len(answer))
            has_ended = answer[length - 1] in ends
            parts = answer_parts(text.tokens[: first + length], first, has_ended=has_ended)
            roles[first:last] = answer_roles(parts) + ["padding"] * (len(answer) - length)
        return roles

    def prompt_tokens(self, batch: int, start: int, tokens: int) -> int:
        """Return how many of a sequence's tokens come before the first generated one."""
        return min((first for first, _, _ in self._answers(batch, start, tokens)), default=tokens)

    def _answers(
        self, batch: int, start: int, tokens: int
    ) -> Iterator[tuple[int, int, frozenset[int]]]:
        """Yield the generated tokens of a sequence, first and end, and the ids that end them."""
        for generation in self.generations:
            first = max(0, generation.start - start)
            last = min(tokens, generation.stop - start)
            if generation.batch == batch and first < last:
                yield first, last, generation.ends


def _inputs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the ids that `generate` was given, None where it was given none."""
    named = [kwargs.get("inputs"), kwargs.get("input_ids")]
    return next((ids for ids in (*args[:1], *named) if isinstance(ids, Tensor)), None)


def _prompt_rows(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """Return the length of the padded prompt; without any, `generate` begins with one token."""
    ids, embeddings = _inputs(args, kwargs), kwargs.get("inputs_embeds")
    if ids is not None and ids.ndim > 1 and ids.shape[1]:
        return int(ids.shape[1])
    return int(embeddings.shape[1]) if isinstance(embeddings, Tensor) else 1


def _new_rows(output: Any, args: tuple[Any, ...], kwargs: dict[str, Any], prompt: int) -> int:
    """Return how many tokens `generate` added; 0 where it failed."""
    sequences = getattr(output, "sequences", output)
    if not isinstance(sequences, Tensor) or sequences.ndim != 2:
        return 0
    has_prompt = _inputs(args, kwargs) is not None or kwargs.get("inputs_embeds") is None
    return int(sequences.shape[1]) - (prompt if has_prompt else 0)


def _end_ids(model: Any, kwargs: dict[str, Any]) -> frozenset[int]:
    config = kwargs.get("generation_config") or getattr(model, "generation_config", None)
    ends = kwargs.get("eos_token_id", getattr(config, "eos_token_id", None))
    if isinstance(ends, Tensor):
        ends = ends.flatten().tolist()
    ends = ends if isinstance(ends, (list, tuple)) else [ends]
    return frozenset(int(token) for token in ends if token is not None)

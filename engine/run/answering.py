"""Generate the answer and record it: a block is generated, and then read as the prompt is read.

A step that generates one token costs what it costs without a recording; the recording costs one
pass over the block, whose tokens are all known by then.
"""

from __future__ import annotations

from typing import Any

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import CachePoint, cache_of
from attentropy.engine.run import prefill
from attentropy.engine.run.decode import Token, decode, end_ids
from attentropy.engine.run.reader import PromptReader


class Answering:
    """Generates the answer that a plan asks for, and has it recorded by the `reader`.

    `notes` say what could not be recorded. `cache` is what the last pass left: keys and values of
    prompt and answer, None before the first.
    """

    def __init__(self, reader: PromptReader) -> None:
        self.reader = reader
        self.plan = reader.plan
        self.notes: list[str] = []
        self.cache: Any = None
        self._is_recorded = True

    def read(self) -> None:
        """Read the prompt and answer it; every token that was not read before is recorded."""
        reader, plan = self.reader, self.plan
        if plan.room and plan.why_whole is not None:
            if not reader.finished:
                self._answer_first()
            output = reader.read()
        else:
            output = reader.read()
            while not self._is_finished():
                output = self._block(output)
            self._show()
        self.cache = None if output is None else cache_of(output)
        self._note_what_the_lens_left_out()

    def _note_what_the_lens_left_out(self) -> None:
        start, count = self.plan.tokens, len(self.reader.answer)
        if self.plan.lens is None:
            return
        read = len(self.plan.lens.reading.positions_within(start, start + count))
        if read < count:
            self.notes.append(
                f"the lens reads {read:,} of the answer's {count:,} tokens (the first ones, and an "
                'even sample of the rest) to stay within its budget; use `lens_positions="all"` to '
                "read all"
            )

    def _is_finished(self) -> bool:
        answer = self.reader.answer
        has_ended = bool(answer) and answer[-1].id in end_ids(self.plan.loaded)
        return has_ended or len(answer) >= self.plan.room

    def _show(self) -> None:
        if self.plan.room:
            self.reader.show("answering", len(self.reader.answer), self.plan.room)

    def _block(self, output: Any) -> Any:
        """Generate a block of tokens after `output`, and return the output of reading them."""
        self._show()
        reader, cache = self.reader, cache_of(output)
        count = min(self.plan.block, self.plan.room - len(reader.answer))
        point = CachePoint(cache, count)
        tokens = self._decode(output, count)
        start, stop = reader.add_pass(tokens)
        if self._is_recorded:
            try:
                with reader.recording(start):
                    return reader.read_chunk(len(reader.passes) - 1, point.restored())
            except AttentropyError as error:
                self._is_recorded = False
                self.notes.append(
                    f"the tokens from position {start} on, in the answer, were not recorded: "
                    f"{error}"
                )
        model = self.plan.loaded.model
        return prefill.read_chunk(model, reader.ids, start, stop, point.restored())

    def _answer_first(self) -> None:
        """Generate the whole answer after a pass over the prompt that is not recorded."""
        self._show()
        reader, plan = self.reader, self.plan
        model: Any = plan.loaded.model
        output = prefill.read_chunk(model, plan.ids, 0, plan.tokens, None)
        reader.add_pass(self._decode(output, plan.room))
        reader.passes = [(0, reader.ids.shape[1])]

    def _decode(self, output: Any, count: int) -> list[Token]:
        reader, plan = self.reader, self.plan
        return decode(
            plan.loaded, reader.ids, output.logits[:, -1], cache_of(output), plan.sampling,
            step=len(reader.answer), count=count,
        )  # fmt: skip

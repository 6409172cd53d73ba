"""Token ids of a text that follows a prompt, as the model would read it there."""

from __future__ import annotations

from typing import Any

from attentropy.engine.arguments import refuse
from attentropy.engine.errors import UsageError
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.encode import encode
from attentropy.engine.prompt.prepare import Prompt


def ids_in_place(loaded: LoadedModel, text: Prompt, words: Any, argument: str) -> list[int]:
    """Return the ids of `words` after the prompt: prompt and words are tokenized as one text.

    A text that is tokenized alone may get other tokens. Raises `UsageError` for no words, and where
    the tokens of the prompt would change.
    """
    if not isinstance(words, str) or not words.strip():
        raise refuse(argument, "a text", words)
    count = len(text.ids)
    for special_tokens in (False, True):
        encoded = encode(loaded.tokenizer, text.text + words, special_tokens=special_tokens)
        if encoded.ids[:count] == text.ids:
            rest = zip(encoded.ids[count:], encoded.places[count:], strict=True)
            ids = [token for token, (start, stop) in rest if start < stop]
            if ids:
                return ids
    raise UsageError(
        f"`{argument}` changes the last tokens of the prompt; begin it with a space, or end the "
        "prompt without one"
    )

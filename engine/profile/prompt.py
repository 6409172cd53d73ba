"""The prompt of a profile: the user's, or random ordinary ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel

from attentropy.engine import demo
from attentropy.engine.errors import UsageError
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.model.positions import usable_positions
from attentropy.engine.prompt.ids import read_ids
from attentropy.engine.prompt.prepare import Prompt, PromptLike, prepare, without_texts
from attentropy.engine.trace.text import count


def profile_prompt(
    loaded: LoadedModel,
    model: str | Path | PreTrainedModel | None,
    prompt: PromptLike | None,
    tokens: int | None,
    *,
    chat_template: bool,
    system: str | None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
) -> Prompt:
    """Return the prompt, or `tokens` random ids.

    Raises `UsageError` where there is neither, where words have no tokenizer, and where the prompt
    is too long for the model.
    """
    config = loaded.model.config
    facts = config_facts(config)
    if tokens is not None:
        special = set(loaded.tokenizer.all_special_ids) if loaded.tokenizer else set()
        prompt = ordinary_ids(config, special, tokens)
    elif prompt is None:
        if model is not None:
            raise UsageError("no prompt; give one with `prompt`, or random ids with `tokens`")
        prompt = demo.DEFAULT_PROMPT
    if loaded.tokenizer is not None:
        text = prepare(
            loaded.tokenizer, prompt, vocabulary=facts["vocabulary"], chat_template=chat_template,
            system=system, question=question, tools=tools, template_args=template_args,
        )  # fmt: skip
    elif (ids := read_ids(prompt)) is not None:
        text = without_texts(ids)
    else:
        raise UsageError(
            f"{loaded.name!r} has no tokenizer; give token ids with `prompt`, or use `tokens`"
        )
    positions = usable_positions(loaded.model)
    if positions is not None and len(text.ids) > positions:
        raise UsageError(
            f"the prompt has {count(len(text.ids), 'token')}, but {loaded.name!r} supports only "
            f"{positions:,}; shorten the prompt"
        )
    return text


def ordinary_ids(
    config: PretrainedConfig, special: set[int], tokens: int, seed: int = 0
) -> list[int]:
    """Return `tokens` random ids of a vocabulary, none of them special, the same for one seed."""
    text = config.get_text_config()
    excluded: set[Any] = set(special)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = getattr(text, name, None)
        excluded |= set(value) if isinstance(value, (list, tuple)) else {value}
    ordinary = torch.tensor([i for i in range(text.vocab_size) if i not in excluded])
    generator = torch.Generator().manual_seed(seed)
    return ordinary[torch.randint(len(ordinary), (tokens,), generator=generator)].tolist()

"""A model as transformers runs it: eager attention, every layer's output, and the logit lens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

# Questions for the same template that ask for other kinds of answer than a place or a name; and
# other texts to translate, after which the lens favours the language as such.
PLACEBOS = (
    "How many legs does a spider have?",
    "Is glass made of sand?",
    "Which is heavier, a feather or a hammer?",
    "How do you spell the word rhythm?",
    "Give me a rhyme for the word moon.",
    "Describe the taste of a lemon in one sentence.",
    "Write a loop in C that counts to ten.",
    "Translate into French: We are going to the sea tomorrow.",
    "Translate into German: We are going to the sea tomorrow.",
)


class Model:
    """A model of transformers with eager attention, in float32."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        options = {"attn_implementation": "eager", "dtype": torch.float32}
        self.model = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
        self.layers = list(self.model.model.layers)

    @torch.no_grad()
    def read(
        self, ids: Sequence[int], on_weights: Callable[[int, Tensor], None] | None = None
    ) -> Tensor:
        """Return the residual stream after each layer, [layer, position, width].

        `on_weights` gets each layer's weights [head, query, key].
        """
        states: list[Tensor] = []
        with self._listening(states, on_weights):
            self.model(torch.tensor([list(ids)]), use_cache=False, logits_to_keep=1)
        return torch.stack(states)

    @contextmanager
    def _listening(self, states: list[Tensor], on_weights: Any) -> Iterator[None]:
        def on_layer(module: Any, arguments: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            states.append(first.reshape(-1, first.shape[-1]))

        def on_attention(number: int) -> Any:
            return lambda module, arguments, output: on_weights(number, output[1][0])

        hooks = [layer.register_forward_hook(on_layer) for layer in self.layers]
        if on_weights is not None:
            hooks += [
                layer.self_attn.register_forward_hook(on_attention(number))
                for number, layer in enumerate(self.layers)
            ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def logprobs(self, states: Tensor) -> Tensor:
        """Return ln P of the logit lens, [position, vocabulary]."""
        logits = self.model.lm_head(self.model.model.norm(states))
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return (cap * torch.tanh(logits / cap) if cap else logits).log_softmax(-1)

    def chat(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Return the token ids of a chat, up to the answer."""
        template = self.tokenizer.apply_chat_template
        ids: list[int] = template(messages, add_generation_prompt=True, return_dict=False)
        return ids

    def placebos(self, system: str | None = None) -> list[list[int]]:
        """Return the placebo questions as token ids; none where there is no chat template."""
        if not self.tokenizer.chat_template:
            return []
        first = [{"role": "system", "content": system}] if system else []
        return [self.chat([*first, {"role": "user", "content": one}]) for one in PLACEBOS]

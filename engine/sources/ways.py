"""The two ways to read rows with keys hidden, and which of them is exact for a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from attentropy.engine.attention.probe import MODEL_ERRORS, difference
from attentropy.engine.attention.selfcheck import check_model, probe_ids
from attentropy.engine.attention.supported import check_free, check_supported
from attentropy.engine.errors import AttentropyError
from attentropy.engine.model.cache import continuing
from attentropy.engine.model.layers import decoder_layers, layer_kinds
from attentropy.engine.sources.hiding import Interval, Variant, is_hidden
from attentropy.engine.sources.prompt_cache import read_text, with_past
from attentropy.engine.sources.rows import Past, Rows, reading, switched

# Layers that are not softmax attention, as configurations name them in `layer_types`.
_OTHER_LAYERS = {"conv", "hybrid", "hybrid_sliding", "linear_attention", "mamba", "recurrent"}

logger = logging.getLogger("attentropy.sources")

Mass = Callable[[int, int, Tensor], None]
# The first row of a pass, the row after its last, and the logits [V, rows, vocabulary] of its last
# rows.
Passes = Iterator[tuple[int, int, Tensor]]


class Way(Protocol):
    """Reads rows behind a prompt; `most` is the most variants that one pass takes, None: any."""

    most: int | None
    has_mass: bool

    def open(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Prepare the model for many calls of `passes`; each also does it by itself."""

    def passes(
        self, model: PreTrainedModel, ids: Tensor, past: Past, first: int,
        variants: Sequence[Variant], bounds: Sequence[tuple[int, int]], *,
        keep: int = 0, mass: Mass | None = None,
    ) -> Passes:  # fmt: skip
        """Read the tokens `ids` from position `first` on in passes over the rows of `bounds`.

        ids: [variants, n], or [1, n] for all of them. Logits are needed from row `keep` on. mass:
        takes the weights of keys, see `Rows`.
        """


class SharedKeys:
    """Many variants in one pass, over keys that they share: see `rows`."""

    most: int | None = None
    has_mass = True

    def open(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """See `Way`."""
        return switched(model)

    def passes(
        self, model: Any, ids: Tensor, past: Past, first: int, variants: Sequence[Variant],
        bounds: Sequence[tuple[int, int]], *, keep: int = 0, mass: Mass | None = None,
    ) -> Passes:  # fmt: skip
        """See `Way`."""
        rows = Rows(model, past, first, variants, mass)
        for start, stop in bounds:
            with torch.no_grad(), reading(rows):
                tokens = ids[:, start:stop].expand(len(variants), -1)
                logits = _logits(model, tokens, rows.cache, stop - max(start, keep))
            yield start, stop, logits


class OwnAttention:
    """One variant after the other, through the attention that the model computes by itself.

    Its masks are changed on their way into each layer. They are dense, rows × keys.
    """

    most: int | None = 1
    has_mass = False

    def open(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """See `Way`."""
        return nullcontext()

    def passes(
        self, model: Any, ids: Tensor, past: Past, first: int, variants: Sequence[Variant],
        bounds: Sequence[tuple[int, int]], *, keep: int = 0, mass: Mass | None = None,
    ) -> Passes:  # fmt: skip
        """See `Way`."""
        caches = [with_past(past, first) for _ in variants]
        for start, stop in bounds:
            logits = []
            tokens = ids[:, start:stop].expand(len(variants), -1)
            for variant, own, cache in zip(variants, tokens, caches, strict=True):
                with torch.no_grad(), _hiding(model, variant, first + start):
                    logits.append(_logits(model, own[None], cache, stop - max(start, keep)))
            yield start, stop, torch.cat(logits)


def _logits(model: Any, tokens: Tensor, cache: Any, keep: int) -> Tensor:
    output = model(tokens, use_cache=True, logits_to_keep=max(1, keep), **continuing(cache))
    logits: Tensor = output.logits
    return logits


@contextmanager
def _hiding(model: PreTrainedModel, variant: Variant, first: int) -> Iterator[None]:
    """Change the masks of each layer in a pass whose rows begin at position `first`."""

    def hook(layer: int) -> Callable[..., Any]:
        def change(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            rows = next(a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)).shape[1]
            keys = first + rows
            hidden = torch.from_numpy(
                is_hidden(variant, layer, np.arange(first, keys), np.arange(keys))
            )

            def changed(value: Any) -> Any:
                is_mask = isinstance(value, Tensor) and value.ndim == 4
                if not is_mask or value.shape[2:] != hidden.shape:
                    return value
                return _hide(value, hidden.to(value.device))

            if kwargs.get("attention_mask", ...) is None:  # plain causal order
                visible = torch.ones_like(hidden).tril(first)
                device = next(module.parameters()).device
                kwargs = kwargs | {"attention_mask": visible[None, None].to(device)}
            named = {name: changed(value) for name, value in kwargs.items()}
            return tuple(changed(value) for value in args), named

        return change

    layers = decoder_layers(model)
    handles = [
        layer.register_forward_pre_hook(hook(i), with_kwargs=True) for i, layer in enumerate(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hide(mask: Tensor, hidden: Tensor) -> Tensor:
    """Return a mask [B, heads, rows, keys], boolean or added to the scores, with keys hidden."""
    if mask.dtype != torch.bool:
        return mask.masked_fill(hidden, torch.finfo(mask.dtype).min)
    visible = bool(mask[0, 0, -1, -1])  # every row sees its own key
    return mask.masked_fill(hidden, not visible)


_ways: WeakKeyDictionary[PreTrainedModel, Way | str] = WeakKeyDictionary()


def check_hiding(model: PreTrainedModel) -> Way:
    """Return the way in which keys can be hidden exactly; a model is checked once.

    Two short texts differ in one token. Where it is hidden from all later rows, these must be the
    same in both; where nothing is hidden, the rows are the model's own. Raises `AttentropyError`
    for a model in which neither way is exact.
    """
    check_free(model)
    if model not in _ways:
        _ways[model] = _find_way(model)
    way = _ways[model]
    if isinstance(way, str):
        raise AttentropyError(way)
    return way


def _find_way(model: PreTrainedModel) -> Way | str:
    """Return the way that is exact for a model, or one line that says why none is."""
    check_supported(model)
    name = type(model).__name__
    refused = f"a passage cannot be hidden from the answer of {name}"
    if others := sorted(_OTHER_LAYERS & set(layer_kinds(model))):
        return f"{refused}: information passes around the mask in its {', '.join(others)} layers"
    problem = ""
    try:
        probe = _Probe.read(model)
    except AttentropyError as error:
        return f"{refused}: {_line(error)}"
    for way in (SharedKeys(), OwnAttention()):
        try:
            is_shared = isinstance(way, SharedKeys)
            if not (check_model(model).is_causal if is_shared else probe.is_causal(model)):
                return f"{refused}: its tokens also see those after them"
            problem = probe.problem(model, way) or ""
        except (AttentropyError, *MODEL_ERRORS) as error:
            logger.debug("hiding with %s failed", type(way).__name__, exc_info=True)
            problem = _line(error)
        if not problem:
            return way
    return f"{refused}: {problem}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


@dataclass(frozen=True)
class _Probe:
    """Two short texts that differ in one token, the first of which has been read in one pass.

    ids [2, n]; past and logits are those of the first.
    """

    ids: Tensor
    token: int
    past: Past
    logits: Tensor

    @classmethod
    def read(cls, model: PreTrainedModel) -> _Probe:
        """Read the first text."""
        own = probe_ids(model)
        ids, token = own.repeat(2, 1), 2 * own.shape[1] // 3
        ids[1, token] = own[0, 0]
        return cls(ids, token, *read_text(model, own))

    def is_causal(self, model: PreTrainedModel) -> bool:
        """Return whether the first text's beginning gives the same where nothing follows it."""
        _, logits = read_text(model, self.ids[:1, : self.token])
        return difference(self.logits[0, : self.token], logits[0], model.dtype) is None

    def problem(self, model: PreTrainedModel, way: Way) -> str | None:
        """Return why hiding is not exact in this way, None where it is; see `check_hiding`.

        The rows of both texts from the token on are read behind the same past: they show the first
        text with nothing hidden, and both with the token hidden from the rows after it.
        """
        first, hidden = self.token, (Interval(self.token, self.token + 1, self.token + 1),)
        ids, variants = self.ids[[0, 0, 1], first:], [(), hidden, hidden]
        bounds, most = [(0, ids.shape[1])], way.most or len(variants)
        parts = [
            logits.float()
            for i in range(0, len(variants), most)
            for _, _, logits in way.passes(
                model, ids[i : i + most], self.past, first, variants[i : i + most], bounds
            )
        ]
        seen, *unseen = torch.cat(parts)
        if (distance := difference(self.logits[0, first:], seen, model.dtype)) is not None:
            return f"behind a cached prompt its outputs are not its own (difference {distance:.3g})"
        own, other = (rows[1:] for rows in unseen)  # after the token
        if float((own - other).abs().max()) > 1e-5 * max(1.0, float(own.abs().max())):
            return "information passes around the mask"
        return None

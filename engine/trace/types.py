"""Names for the types that the trace exchanges with the rooms around it."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NotRequired, TypeAlias, TypedDict

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array: TypeAlias = NDArray[Any]
ArraysByName: TypeAlias = dict[str, Array]
Dims: TypeAlias = tuple[str, ...]
# array name -> (dimensions, kind): f float, i integer, s text
Schema: TypeAlias = Mapping[str, tuple[Dims, str]]
# Where values belong in an array, one entry for each of its dimensions.
Place: TypeAlias = tuple[int | slice, ...]
# Values on any device.
Values: TypeAlias = "Array | Tensor"
# What a JSON file holds; its values are checked where they are read.
JsonObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """What a store of one format may hold: the arrays of `schema`, and groups of other formats.

    `version` is the newest that this program reads; `words` say in a message what the store is, and
    `opener` what opens it. The groups of `optional` may be absent.
    """

    name: str
    version: int
    words: str
    opener: str
    schema: Schema
    groups: Mapping[str, Form] = field(default_factory=dict)
    optional: Mapping[str, Form] = field(default_factory=dict)

    def parts(self, files: Container[str] = ()) -> dict[str, Form]:
        """Return the form of the store itself, called "", and of each of its groups.

        An optional group is there where `files`, the names of the store's files, has its metadata.
        """
        present = {n: form for n, form in self.optional.items() if f"{n}/zarr.json" in files}
        return {"": self, **self.groups, **present}


class ModelFacts(TypedDict, total=False):
    """Attribute `model`: which model was recorded; None where its configuration does not say."""

    name: str
    revision: str | None
    type: str
    layers: int | None
    heads: int | None
    kv_heads: int | None
    hidden_size: int | None
    vocabulary: int | None
    positions: int | None
    parameters: int
    dtype: str
    device: str
    weights_sha256: str


class TokenizerFacts(TypedDict, total=False):
    """Attribute `tokenizer`: its class, and the hashes that distinguish it from others."""

    type: str
    sha256: str
    chat_template_sha256: str | None


class PromptFacts(TypedDict, total=False):
    """Attribute `prompt`: the hash of its text, its length in tokens, and whether it is a chat."""

    sha256: str
    tokens: int
    chat: bool


class PartialFacts(TypedDict):
    """Attribute `partial`: how far an unfinished run got, in tokens, and why it stopped.

    `tokens` and `done` are the prompt's, `answered` counts the tokens of the answer.
    """

    tokens: int
    done: int
    chunks: int
    reason: str | None
    answered: NotRequired[int]


class Attributes(TypedDict, total=False):
    """The attributes of a trace: where it comes from, and the options it was recorded with."""

    format: str
    format_version: int
    model: ModelFacts
    tokenizer: TokenizerFacts | None
    prompt: PromptFacts
    implementation: str
    versions: dict[str, str]
    options: JsonObject
    notes: list[str]
    answer: str
    answer_is_cut: bool
    reasoning: str
    profile: JsonObject
    placebo: JsonObject
    partial: PartialFacts
    redacted: bool
    storage_error: dict[str, float]

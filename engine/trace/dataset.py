"""A trace: what was recorded of one sequence, the border between recording and reporting.

Nothing here imports torch, so a trace can be read and rendered anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError, UsageError
from attentropy.engine.trace import store
from attentropy.engine.trace.answered import is_generated, prompt_length
from attentropy.engine.trace.bidi import isolated
from attentropy.engine.trace.checks.current import read_current
from attentropy.engine.trace.checks.sample import read_sample
from attentropy.engine.trace.checks.sources import check_sources
from attentropy.engine.trace.checks.values import check_values
from attentropy.engine.trace.checks.variables import check_schema
from attentropy.engine.trace.context import Contextual
from attentropy.engine.trace.derived import once_per_trace
from attentropy.engine.trace.divided import Divided
from attentropy.engine.trace.drawn import Drawn
from attentropy.engine.trace.layout import widen
from attentropy.engine.trace.lens_skill import Judged
from attentropy.engine.trace.partial import SUFFIX
from attentropy.engine.trace.readable import stored_dataset
from attentropy.engine.trace.schema import COORDINATES, FORMAT, TRACE
from attentropy.engine.trace.sources import GROUP, as_sources, stored_sources
from attentropy.engine.trace.text import count
from attentropy.engine.trace.types import Array, Attributes
from attentropy.engine.trace.unfinished import read_unfinished
from attentropy.engine.trace.verify import Verified

_SHOWN = 60  # letters of an answer where a trace is named


class Trace(Drawn, Divided, Judged, Contextual, Verified):
    """What was recorded of one sequence: entropies in nats, with their tokens and provenance.

    A trace reads like a dictionary of NumPy arrays: `trace["entropy"]`, `trace.keys()`,
    `"lens_kl" in trace`, `for name in trace`. Missing values are NaN, or -1 in integers.

    - Attention statistics are [layer, head, query]: "entropy", "max_prob", "top_key", …
    - Lens statistics are [site, layer, position]: "lens_entropy", "lens_rank", "rehearsal", …
    - "window" are exact attention weights, [layer, window_head, window_query, window_key]; "map" is
      the attention map in tiles, "thumbnail" that of each head in at most 32 × 32 tiles.

    The axis `layer` has one entry per attention call: `trace["layer"]` is the number of the layer
    in the model, `trace["call"]` the number of the call within that layer (0 in most models).

    Args:
        dataset: The labelled arrays.
        sources: Those of the sources, if they were tested.

    Attributes:
        dataset: The `xarray.Dataset` itself. Make a new trace of changed values: what is computed
            from those of a trace is computed once.
        sources: Which spans of the prompt each word of the answer depends on, an `xarray.Dataset`
            with effects in nats; None where this was not tested.
        tokens: Text of each position, [N]: the prompt's, then those of the answer.
        prompt_tokens: The number of positions of the prompt.
        is_generated: Whether the model generated the token of each position, [N] bool.
        roles: Role of each position, [N]: "bos", "eos", "template", "content", …
        attrs: Provenance: model, tokenizer, prompt, versions, options, notes.

    Raises:
        TraceError: A variable is unknown to this version, or has other dimensions.

    Examples:
        >>> from attentropy import Trace, extract
        >>> import tempfile, pathlib
        >>> path = extract().save(pathlib.Path(tempfile.mkdtemp()) / "trace.zarr.zip")
        >>> trace = Trace.open(path)
        >>> trace["entropy"].shape, trace["lens_entropy"].shape
        ((8, 4, 19), (1, 8, 19))
        >>> trace.tokens[5:9]
        ['What', ' is', ' the', ' capital']
        >>> print(trace.report(path.with_name("report.html")).name)
        report.html
    """

    _form = FORMAT  # what the attribute `format` says, if it is there

    def __init__(self, dataset: xr.Dataset, sources: xr.Dataset | None = None) -> None:
        if dataset.attrs.get("format", self._form) != self._form:
            raise TraceError(
                "this dataset is a comparison, not a trace; keep the Difference itself"
            )
        check_schema(dataset)
        self.dataset = dataset
        self.sources = None if sources is None else as_sources(sources)

    @classmethod
    def open(
        cls, path: str | Path, *, partial: bool = False, max_cells: int | None = None
    ) -> Trace:
        """Open a trace; values are read from disk when they are used.

        Args:
            path: A `.zarr` folder or a `.zarr.zip` file.
            partial: Open an unfinished trace, a `.partial` folder. `attrs["partial"]` then says how
                far it got (tokens, chunks) and, if known, why it stopped.
            max_cells: The work that the trace may make, for a trace that you trust; a cell is one
                number of an array. By default it is 64 million cells and what its size pays for,
                which every recorded trace stays under.

        Returns:
            The trace.

        Raises:
            TraceError: The path does not exist, or is not a complete and valid trace of a format
                that this version supports. For a saved comparison it is `OtherFormat`;
                `attentropy.open` opens both.
        """
        path = Path(path)
        if path.name.endswith(SUFFIX) and path.is_dir():
            return checked_trace(
                read_unfinished(path, is_wanted=partial, max_cells=max_cells), path.name
            )
        if partial:
            raise TraceError(f"{path.name} is not an unfinished trace (a folder NAME.partial)")
        return read_current(path, lambda: _read(path, max_cells))

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the trace to a folder (`.zarr`) or one file (`.zarr.zip`).

        If writing fails, nothing is left at `path`.

        Args:
            path: NAME.zarr or NAME.zarr.zip.
            force: Overwrite what exists at `path`.

        Returns:
            The path.

        Raises:
            UsageError: The name has another ending, the parent folder does not exist, or the path
                exists and `force` is false.
        """
        datasets = {"": stored_dataset(self)}
        if self.sources is not None:
            datasets[GROUP] = stored_sources(self.sources)
        return store.write_datasets(datasets, Path(path), force=force)

    def to_dataset(self, group: str | None = None) -> xr.Dataset:
        """Return the labelled arrays, an `xarray.Dataset`.

        Args:
            group: "sources" for those of the sources.

        Raises:
            UsageError: The trace does not have the group.
        """
        if group is None:
            return self.dataset
        if group != "sources" or self.sources is None:
            raise UsageError(f"the trace has no group {str(group)[:40]!r}")
        return self.sources

    def __repr__(self) -> str:
        attrs, sizes = self.attrs, self.dataset.sizes
        words = [count(self.prompt_tokens, "token"), count(sizes["layer"], "layer")]
        if "head" in sizes:
            words.append(count(sizes["head"], "head"))
        if answer := str(attrs.get("answer", "")):
            facts = attrs.get("prompt")
            is_chat = not isinstance(facts, dict) or facts.get("chat") is not False
            rest = "…" if len(answer) > _SHOWN or attrs.get("answer_is_cut") is True else ""
            says = "answer" if is_chat else "continues with"
            words.append(f"{says} {isolated(repr(answer[:_SHOWN]))}{rest}")
        name = str(attrs.get("model", {}).get("name", "a model"))
        return f"<Trace of {name[:60]!r}: {', '.join(words)}>"

    @property
    def attrs(self) -> Attributes:
        """Provenance: model, tokenizer, prompt, versions, options."""
        return cast(Attributes, dict(self.dataset.attrs))

    def keys(self) -> list[str]:
        """Return the names of the data variables, without the coordinates."""
        return [str(name) for name in self.dataset.data_vars]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.dataset.data_vars)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, name: object) -> bool:
        return name in self.dataset.variables

    def __getitem__(self, name: str) -> Array:
        """Return the values of one variable or coordinate, in memory; float16 as float32."""
        return widen(self.dataset[name].values)

    @property
    def tokens(self) -> list[str]:
        """The text of each position, [N]."""
        return [str(text) for text in self["token_text"]]

    @property
    def roles(self) -> list[str]:
        """The role of each position, [N]; one of `ROLES`."""
        return [str(role) for role in self["role"]]

    @property
    def prompt_tokens(self) -> int:
        """The number of positions of the prompt; the tokens of the answer follow them."""
        facts = self.attrs.get("prompt")
        return prompt_length(self["role"], facts if isinstance(facts, dict) else {})

    @property
    def is_generated(self) -> Array:
        """Whether the model generated the token at each position, [N] bool.

        These tokens have the role "generated", or "reasoning" between a template's markers.
        """
        return is_generated(self["role"], self.prompt_tokens)

    @property
    def site(self) -> str:
        """The default site of the lens: "residual" if it was recorded, otherwise the first one."""
        sites = self.sites
        return "residual" if "residual" in sites or not sites else sites[0]

    @property
    def sites(self) -> list[str]:
        """Where the lens read each layer: "residual", "translated", "attention", "mlp", or some."""
        return [str(site) for site in self["site"]] if "site" in self else []

    def lens(self, name: str, positions: slice = slice(None), site: str | None = None) -> Array:
        """Return a lens variable at one site, [layer, position] or [layer, position, k].

        Args:
            name: The variable, such as "lens_entropy".
            positions: Positions to return; by default all.
            site: One of `sites`; by default the trace's own `site`.

        Returns:
            The values, in nats where the variable is an entropy, KL or log-probability.

        Raises:
            KeyError: The trace does not have the variable.
            ValueError: The trace does not have the site.
        """
        sites = self.sites
        variable, index = self.dataset[name], sites.index(site or self.site) if sites else 0
        if positions == slice(None):  # needed again and again: read once, completely
            return widen(variable.values[index])
        return widen(variable[index, :, positions].values)

    def dummy_positions(self) -> Array:
        """Return the positions of the template tokens after the last content token, [n] int.

        Empty where the prompt has no template token there, as in a raw text.
        """
        roles = self["role"][: self.prompt_tokens]
        content = np.flatnonzero(np.isin(roles, ("content", "reasoning")))
        after = content[-1] + 1 if content.size else 0
        template = np.isin(roles, ("template", "eos", "bos"))
        return np.flatnonzero(template & (np.arange(roles.size) >= after))

    def text_of(self, ids: Iterable[int]) -> list[str]:
        """Return the text of each token id, "" for ids that neither lens nor answer contain."""
        texts = _vocabulary(self)
        return [texts.get(int(i), "") for i in ids]


@once_per_trace
def _vocabulary(trace: Trace) -> dict[int, str]:
    """Return the texts of the token ids that a trace names."""
    if "vocabulary_ids" not in trace:
        return {}
    pairs = zip(trace["vocabulary_ids"], trace["vocabulary_text"], strict=True)
    return {int(i): str(text) for i, text in pairs}


def _read(path: Path, max_cells: int | None) -> Trace:
    datasets = store.read_datasets(path, TRACE, max_cells=max_cells)
    return checked_trace(datasets[""], path.name, datasets.get(GROUP))


def checked_trace(dataset: xr.Dataset, name: str, sources: xr.Dataset | None = None) -> Trace:
    """Return a trace that was read from a disk, after checking that its parts fit together.

    Raises `TraceError`, whose message starts with `name`.
    """
    coordinates = [name for name in COORDINATES if name in dataset.variables]
    trace = Trace(dataset.set_coords(coordinates))
    check_values(trace.dataset, name)
    read_sample(trace.dataset)
    if sources is None:
        return trace
    try:
        trace = Trace(trace.dataset, sources)
    except TraceError as error:
        raise TraceError(f"{name}: {error}") from error
    assert trace.sources is not None
    check_sources(trace.sources, trace.dataset, trace.prompt_tokens, name)
    return trace

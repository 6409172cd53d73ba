"""The trace: labelled arrays of one sequence, the border between recording and reporting.

Nothing here imports torch, so a trace can be read and rendered anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from attentropy.engine.errors import TraceError
from attentropy.engine.trace import partial as unfinished
from attentropy.engine.trace import store
from attentropy.engine.trace.checks import values as fitting
from attentropy.engine.trace.schema import _REQUIRED, COORDINATES, FORMAT, FORMAT_VERSION, VARIABLES


class Trace:
    """What was recorded of one sequence.

    `dataset` is an `xarray.Dataset` whose variables are those of `VARIABLES`, in nats where they
    are entropies: attention statistics (layer, head, query), lens statistics (site, layer,
    position), exact attention weights of a rectangle (`window`). `layer` counts calls of
    attention: coordinate `layer` holds the model's own layer number, `call` the call within it.
    Missing values are NaN, or -1 in integer variables. Attributes carry provenance and options.

    Raises `TraceError` where a variable is unknown to this version, or has other dimensions.
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        _check(dataset)
        self.dataset = dataset

    @classmethod
    def open(cls, path: str | Path, *, partial: bool = False) -> Trace:
        """The trace in a `.zarr` folder or a `.zarr.zip` file, read when its values are used.

        partial: what there is of an unfinished one, in its `.partial` folder; `attrs["partial"]`
        then says how far it got, in tokens and chunks, and why it stopped, where that is known.
        Raises `TraceError` (one line) for a path that is absent, truncated, foreign, of a newer
        format, or that uses a codec or type which a trace never has.
        """
        path, known = Path(path), {**VARIABLES, **COORDINATES}
        if path.name.endswith(unfinished.SUFFIX) and path.is_dir():
            return cls._of_partial(path, known, partial)
        if partial:
            raise TraceError(f"{path.name}: an unfinished trace is a folder named NAME.partial")
        dataset = store.read(path, known, FORMAT, FORMAT_VERSION)
        return cls._of_stranger(dataset, path.name)

    @classmethod
    def _of_partial(cls, path: Path, known: Mapping[str, Any], asked: bool) -> Trace:
        progress = unfinished.progress(path)
        if not asked:
            raise TraceError(
                f"{path.name} is unfinished: {progress.words}; render --partial shows what there "
                "is, extract --resume goes on"
            )
        folder = path / unfinished.TRACE
        dataset = store.read(folder, known, FORMAT, FORMAT_VERSION, partial=True)
        texts = unfinished.vocabulary(path)
        dataset = dataset.drop_vars(("vocabulary_ids", "vocabulary_text"), errors="ignore").assign(
            vocabulary_ids=("vocabulary", np.array(list(texts), np.int32)),
            vocabulary_text=("vocabulary", np.array(list(texts.values()), np.dtypes.StringDType())),
        )
        facts = {
            "tokens": progress.tokens, "done": progress.done, "chunks": progress.chunks,
            "reason": progress.reason,
        }  # fmt: skip
        return cls._of_stranger(dataset.assign_attrs(partial=facts), path.name)

    @classmethod
    def _of_stranger(cls, dataset: xr.Dataset, name: str) -> Trace:
        made = cls(_with_coordinates(dataset))
        fitting.check(made.dataset, name)
        return made

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the whole trace, or nothing: a folder (`.zarr`) or one file (`.zarr.zip`).

        Raises `UsageError` for another ending, a missing parent folder, or a path that exists
        when `force` is false.
        """
        attrs = {**self.dataset.attrs, "format": FORMAT, "format_version": FORMAT_VERSION}
        return store.write(self.dataset.assign_attrs(attrs), Path(path), force=force)

    def to_dataset(self) -> xr.Dataset:
        """The labelled arrays themselves."""
        return self.dataset

    def __repr__(self) -> str:
        model, sizes = self.attrs.get("model", {}), self.dataset.sizes
        words = [f"{len(self.tokens)} tokens", f"{sizes['layer']} layers"]
        words += [f"{sizes['head']} heads"] if "head" in sizes else []
        words += (
            [f"answer {answer[:60]!r}"] if (answer := str(self.attrs.get("answer", ""))) else []
        )
        return f"<Trace of {str(model.get('name', 'a model'))[:60]!r}: {', '.join(words)}>"

    def _repr_html_(self) -> str:
        """What a notebook shows of it: still pictures, no script; see `report.notebook`."""
        # The one arrow against the order, and only where a notebook asks for it.
        notebook = import_module("attentropy.report.page.notebook")
        return str(notebook.render(self))

    @property
    def attrs(self) -> dict[str, Any]:
        """Provenance: model, tokenizer, prompt, versions, options."""
        return dict(self.dataset.attrs)

    def __contains__(self, name: str) -> bool:
        return name in self.dataset.variables

    def __getitem__(self, name: str) -> np.ndarray:
        """The values of one variable or coordinate, in memory; float16 as float32."""
        return _widened(self.dataset[name].values)

    @property
    def tokens(self) -> list[str]:
        """The text of each position, [N]."""
        return [str(text) for text in self["token_text"]]

    @property
    def roles(self) -> list[str]:
        """The role of each position, [N]; one of `ROLES`."""
        return [str(role) for role in self["role"]]

    @property
    def site(self) -> str:
        """The lens's site that is shown unasked: "residual", or the first one there is."""
        sites = self.sites
        return "residual" if "residual" in sites or not sites else sites[0]

    @property
    def sites(self) -> list[str]:
        """The lens's sites, of "residual", "attention", "mlp"."""
        return [str(site) for site in self["site"]] if "site" in self else []

    def lens(
        self, name: str, positions: slice = slice(None), site: str | None = None
    ) -> np.ndarray:
        """The values of a lens variable, [layer, position] or [layer, position, k]; where nobody
        says which of `sites`, at `site`."""
        sites = self.sites
        variable, index = self.dataset[name], sites.index(site or self.site) if sites else 0
        if positions == slice(None):  # asked for again and again, so read once
            return _widened(variable.values[index])
        return _widened(variable[index, :, positions].values)

    def dummy_positions(self) -> np.ndarray:
        """Positions of the template tokens after the last content token of the prompt, [n] int.

        Empty where the prompt has no template token there, as in a raw text.
        """
        roles = self["role"]
        content = np.flatnonzero(roles == "content")
        after = content[-1] + 1 if content.size else 0
        template = np.isin(roles, ("template", "eos", "bos"))
        return np.flatnonzero(template & (np.arange(roles.size) >= after))

    def text_of(self, ids: Iterable[int]) -> list[str]:
        """The text of vocabulary entries that the lens or the continuation named."""
        known = self._vocabulary
        return [known.get(int(i), "") for i in ids]

    @property
    def _vocabulary(self) -> dict[int, str]:
        if "vocabulary_ids" not in self:
            return {}
        pairs = zip(self["vocabulary_ids"], self["vocabulary_text"], strict=True)
        return {int(i): str(text) for i, text in pairs}


def _with_coordinates(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.set_coords([name for name in COORDINATES if name in dataset.variables])


def _widened(values: np.ndarray) -> np.ndarray:
    """Sums of many would leave float16's range."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _check(dataset: xr.Dataset) -> None:
    known = {**VARIABLES, **COORDINATES}
    for name in _REQUIRED:
        if name not in dataset.variables:
            raise TraceError(f"trace without {name!r}: it is not a whole attentropy trace")
    for key, variable in dataset.variables.items():
        name = str(key)
        if name not in known:
            raise TraceError(f"trace with an unknown variable {name[:40]!r}")
        dims, kind = known[name]
        if variable.dims != dims:
            raise TraceError(
                f"trace variable {name!r} has dimensions {variable.dims}, expected {dims}"
            )
        if not _is_kind(variable.dtype, kind):
            raise TraceError(f"trace variable {name!r} has type {variable.dtype}, expected {kind}")


def _is_kind(dtype: np.dtype, kind: str) -> bool:
    return dtype.kind in {"f": "f", "i": "iu", "s": "TUO"}[kind]

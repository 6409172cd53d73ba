"""The hub: whether it can be reached, and what is wrong with a model there, in one sentence."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

_SECONDS = 5  # until a network that swallows requests counts as none

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def offline_if_unreachable(source: str) -> Iterator[None]:
    """Read only cached files of a hub model while this is open, where the hub cannot be reached.

    Without it, the hub's library would try for half a minute for each file. One short request
    decides; there is none for a folder.
    """
    from huggingface_hub import constants

    if Path(source).exists() or constants.HF_HUB_OFFLINE or _is_reachable(constants.ENDPOINT):
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = False


def _is_reachable(endpoint: str) -> bool:
    from huggingface_hub.utils import get_session

    try:
        get_session().head(endpoint, timeout=_SECONDS)
    except Exception as error:  # of whichever HTTP library this version of the hub's library uses
        _logger.debug("the hub cannot be reached: %s", error)
        return False
    return True


def explain(error: BaseException, name: str, *, offline: bool) -> str:
    """Return one sentence that says why the files of the model `name` could not be had.

    offline: whether the user has forbidden downloads.
    """
    from huggingface_hub import errors

    causes = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    sentences = {
        errors.GatedRepoError: f"{name!r} is gated on the Hugging Face hub: accept its terms on "
        "its page there, then log in with `hf auth login`",
        errors.RevisionNotFoundError: f"{name!r} has no such revision on the Hugging Face hub",
        errors.RepositoryNotFoundError: f"no model {name!r}: there is no such folder here, and no "
        "such public model on the Hugging Face hub (a private one needs `hf auth login`)",
        errors.HFValidationError: f"no model {name!r}: there is no such folder here, and it is no "
        "id of the Hugging Face hub (org/name)",
        errors.LocalEntryNotFoundError: _not_cached(name, offline=offline),
        errors.OfflineModeIsEnabled: _not_cached(name, offline=offline),
        errors.EntryNotFoundError: f"{name!r} on the Hugging Face hub does not have the files of a "
        "transformers model (config.json, *.safetensors)",
    }
    for kind, sentence in sentences.items():
        if any(isinstance(one, kind) for one in causes):
            return sentence
    text = " ".join(str(error).split())
    return f"the model {name!r} could not be read: {_first_sentence(text) or type(error).__name__}"


def _not_cached(name: str, *, offline: bool) -> str:
    why = (
        "HF_HUB_OFFLINE forbids a download: unset it"
        if offline
        else "the Hugging Face hub cannot be reached: check the network"
    )
    return (
        f"no model {name!r}: there is no such folder here, its files are not in the cache, "
        f"and {why}, or give a model folder"
    )


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")

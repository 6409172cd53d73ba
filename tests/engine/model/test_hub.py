"""Errors of the hub are one whole sentence, and come at once where there is no network."""

import pytest
from huggingface_hub import constants, errors

from attentropy.engine.errors import AttentropyError
from attentropy.engine.model import hub
from attentropy.engine.model.source import errors_in_one_line

NAME = "org/name"


def _error(kind, cause=None):
    """Return an `OSError` as transformers raises it, caused by an error of the hub's library."""
    inner = kind.__new__(kind)
    Exception.__init__(inner, "Client error. \n\nRequest ID: 7; see https://example.org/x")
    outer = OSError("There was a problem.\nSee the docs. " + "x" * 300)
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (errors.GatedRepoError, "is gated on the Hugging Face hub"),
        (errors.RepositoryNotFoundError, "no such public model on the Hugging Face hub"),
        (errors.RevisionNotFoundError, "no such revision"),
        (errors.HFValidationError, "no id of the Hugging Face hub (org/name)"),
        (errors.LocalEntryNotFoundError, "cannot be reached: check the network"),
        (errors.OfflineModeIsEnabled, "cannot be reached: check the network"),
        (errors.EntryNotFoundError, "does not have the files of a transformers model"),
        (ValueError, "could not be read: There was a problem"),
    ],
)
def test_each_cause_has_one_sentence_with_the_model(kind, words):
    sentence = hub.explain(_error(kind), NAME, offline=False)
    assert words in sentence
    assert NAME in sentence
    assert "\n" not in sentence
    assert "Request ID" not in sentence


def test_who_forbids_downloads_is_told_so():
    sentence = hub.explain(_error(errors.LocalEntryNotFoundError), NAME, offline=True)
    assert "HF_HUB_OFFLINE forbids a download: unset it, or give a model folder" in sentence


@pytest.mark.parametrize("reachable", [True, False])
def test_the_cache_alone_is_read_where_the_hub_cannot_be_reached(monkeypatch, tmp_path, reachable):
    requests = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        hub, "_is_reachable", lambda endpoint: requests.append(endpoint) or reachable
    )
    with hub.offline_if_unreachable(NAME):
        assert (not reachable) == constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE
    with hub.offline_if_unreachable(str(tmp_path)):  # a folder asks nobody
        assert not constants.HF_HUB_OFFLINE
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub.offline_if_unreachable(NAME):
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE
    assert requests == [constants.ENDPOINT]


def test_a_network_without_an_answer_is_one_request_with_a_limit(monkeypatch):
    calls = []

    class Session:
        def head(self, url, timeout):
            calls.append((url, timeout))
            raise ConnectionError("refused")

    monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
    assert not hub._is_reachable("https://example.org")
    assert calls == [("https://example.org", 5)]


def test_a_model_that_is_not_in_the_cache_is_refused_without_the_network(monkeypatch, tmp_path):
    from attentropy.engine.model.source import locate_files

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "_is_reachable", lambda endpoint: False)
    with (
        pytest.raises(AttentropyError, match="its files are not in the cache, and the Hugging"),
        errors_in_one_line(NAME, NAME),
    ):
        locate_files(NAME, NAME, None)

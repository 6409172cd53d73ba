"""The options of a run are those of `extract`, and are checked at construction."""

import inspect
from dataclasses import MISSING, fields

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.run.extract import extract
from attentropy.engine.run.options import Options

NOT_OPTIONS = {"model", "prompt", "segments", "tokenizer", "progress"}


def test_extract_takes_the_options_with_their_defaults():
    parameters = inspect.signature(extract).parameters
    keywords = {name: p.default for name, p in parameters.items() if name not in NOT_OPTIONS}
    assert keywords == {field.name: field.default for field in fields(Options) if field.init}
    assert MISSING not in keywords.values()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": 0}, "`memory` must be a number of bytes"),
        ({"chunk": 0}, "`chunk` must be an integer of at least 1, not 0"),
        ({"top_k": 0}, "top_k"),
        ({"storage": "int8"}, "storage"),
        ({"lens": ("head",)}, "`lens` must be one or more of"),
    ],
)
def test_options_that_cannot_work_are_refused_before_a_model_is_loaded(options, message):
    with pytest.raises(UsageError, match=message):
        Options(**options)

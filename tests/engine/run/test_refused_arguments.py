"""Arguments with which no run can start are refused in one line."""

import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.run.extract import extract


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lens": ("head",)}, "`lens` must be .* not 'head'"),
        ({"lens_layers": "8"}, "`lens_layers`: 8 is out of range"),
        ({"lens_layers": "template"}, "`lens_layers` must be .* not 'template'"),
        ({"lens_positions": "9000:"}, "`lens_positions`: '9000:' selects nothing"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"top_k": 0}, "top_k"),
        ({"prompt": "x " * 5000}, "supports only 4,096"),
        ({"prompt": "   ", "chat_template": False}, "empty"),
        ({"map_tile": "0"}, "`map_tile` must be .* not '0'"),
        ({"map_heads": "each"}, "`map_heads` must be mean or all, not 'each'"),
        ({"windows": ["1:2"]}, "`windows` must be ranges of queries and keys .* not '1:2'"),
        ({"windows": ["40:,:"]}, "`windows`: 40:,: selects no query in a prompt of 17 tokens"),
    ],
)
def test_arguments_that_cannot_work(options, message):
    with pytest.raises(UsageError, match=message):
        extract(device="cpu", **options)


def test_a_window_that_cannot_be_kept_is_refused_before_the_prompt_is_read(embedded, monkeypatch):
    read = []
    hook = embedded.model.register_forward_pre_hook(lambda m, args: read.append(args[0].shape[1]))
    with pytest.raises(UsageError, match="1,448 queries × 1,448 keys"):
        extract(embedded.model, [5] * 3000, tokenizer=embedded.tokenizer, windows=["0:2000,:"])
    hook.remove()
    assert max(read) <= 32
    monkeypatch.setattr("attentropy.engine.run.opening.load", None)
    with pytest.raises(UsageError, match="ranges of queries and keys"):
        extract(device="cpu", windows=["here"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs its `tokenizer`"),
        ({"tokenizer": "gpt2"}, "must be a transformers tokenizer, not str"),
        ({"tokenizer": True, "dtype": "bfloat16"}, "`dtype` does not apply to a model"),
        ({"tokenizer": True, "device": "cpu"}, "`device` does not apply to a model"),
        ({"tokenizer": True, "prompt": None}, "no prompt; give one with `prompt`"),
    ],
)
def test_a_loaded_model_with_arguments_that_cannot_work(embedded, options, message):
    if options.get("tokenizer") is True:
        options = {**options, "tokenizer": embedded.tokenizer}
    with pytest.raises(UsageError, match=message) as caught:
        extract(embedded.model, **{"prompt": "hello", **options})
    assert "\n" not in str(caught.value)


def test_a_folder_takes_no_tokenizer(embedded):
    with pytest.raises(UsageError, match="only for a model that is already loaded"):
        extract(prompt="hello", tokenizer=embedded.tokenizer)

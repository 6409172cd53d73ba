"""A run tests the sources of its answer: the same in memory and on a disk, whatever the load."""

import numpy as np
import pytest
import xarray as xr

from attentropy.engine.errors import UsageError
from attentropy.engine.run.extract import extract
from attentropy.engine.sources.cost import expected_for

OPTIONS = {"prompt": "What is the capital of Japan?", "stats": "none", "reference": False}


def _numbers(trace):
    timed = ("seconds", "predicted_seconds", "format", "format_version")
    attrs = {name: value for name, value in trace.sources.attrs.items() if name not in timed}
    return trace.sources.compute().drop_attrs(), attrs


def test_a_run_on_a_disk_has_the_sources_of_a_run_in_memory(tmp_path):
    own = extract(**OPTIONS, test_sources="word")
    stored = extract(**OPTIONS, test_sources="word", output=tmp_path / "t.zarr")
    for (a, of_a), (b, of_b) in [(_numbers(own), _numbers(stored))]:
        xr.testing.assert_allclose(a, b, atol=1e-5)
        assert of_a.keys() == of_b.keys()
        assert of_a["passes"] == of_b["passes"]


def test_a_letter_of_several_tokens_is_in_the_first_of_them():
    sources = extract(**OPTIONS, test_sources="word", target="日é").sources
    texts = [str(text) for text in sources["step_text"].values]
    assert len(texts) > 2
    assert "".join(texts).strip() == "日é"


def test_what_is_tested_by_default_is_the_same_each_time():
    first, second = (_numbers(extract(prompt=OPTIONS["prompt"])) for _ in range(2))
    xr.testing.assert_allclose(first[0], second[0], atol=1e-5)
    assert first[1]["passes"] == second[1]["passes"]


def test_the_tests_leave_the_rest_of_the_trace_as_it_is():
    plain = extract(prompt=OPTIONS["prompt"], test_sources="none")
    tested = extract(prompt=OPTIONS["prompt"], test_sources="auto")
    assert plain.sources is None
    for name in plain:
        np.testing.assert_array_equal(plain[name], tested[name])


@pytest.mark.costly
def test_layers_that_are_not_recorded_are_tested_like_the_others():
    plain, few = (extract(**OPTIONS, test_sources="word", layers=own) for own in (None, [1, 5]))
    assert few.sources["layer"].values.tolist() == list(range(8))
    xr.testing.assert_allclose(_numbers(few)[0], _numbers(plain)[0], atol=1e-5)
    assert _numbers(few)[1] == _numbers(plain)[1]


def _document(sentences):
    names = ("lamp", "door", "road", "bell", "mill")
    texts = [f"The {names[i % 5]} of {names[i % 3]} {i} is old." for i in range(sentences)]
    return "\n\n".join(" ".join(texts[i : i + 3]) for i in range(0, sentences, 3))


@pytest.mark.costly
@pytest.mark.parametrize("sentences", [0, 30, 60])
def test_the_number_of_readings_is_about_the_one_that_the_length_alone_predicts(sentences):
    document = {"prompt": _document(sentences), "question": "Which lamp is old?"}
    options = document if sentences else {"prompt": OPTIONS["prompt"]}
    trace = extract(**options, stats="none", reference=False, test_sources="auto", lens="none")
    expected = expected_for(trace.prompt_tokens, 8).tests
    assert expected / 2 <= trace.sources.attrs["passes"] <= 2 * expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_sources": "all"}, "`test_sources` must be auto"),
        ({"test_sources": 3}, "`test_sources` must be auto"),
        ({"test_sources": "none", "budget": 3}, "`budget` belongs to the tests"),
        ({"how": "delete"}, "`how` must be hide or remove"),
        ({"versus": 3}, "`versus` must be a text"),
        ({"budget": -1}, "`budget` must be"),
        ({"test_sources": {"a": [0, 3]}, "segments": {"b": [3, 6]}}, "both name parts"),
    ],
)
def test_options_that_cannot_work_are_refused_before_a_model_is_loaded(options, message):
    with pytest.raises(UsageError, match=message):
        extract("no/such/model", "Hello", **options)

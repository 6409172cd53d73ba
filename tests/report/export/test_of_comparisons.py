"""A figure of a comparison shows B − A, says so, and names both sides."""

import csv
import io

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import compare
from attentropy.report.export.export import export
from attentropy.report.text import mark_whitespace
from traces import synthetic


@pytest.fixture(scope="module")
def difference():
    a, b = (synthetic(layers=3, heads=2, window=False, seed=seed) for seed in (0, 1))
    return compare(a, b, ("one.zarr", "other.zarr"))


def _table(difference, figure, **choices):
    exported = export(difference, figure, "csv", **choices)
    return exported, list(csv.DictReader(io.StringIO(exported.data.decode("utf-8-sig"))))


@pytest.mark.parametrize("figure", ["lens", "attention"])
def test_values_caption_and_names_are_those_of_two(difference, figure):
    exported, lines = _table(difference, figure)
    assert exported.title.endswith("entropy, B − A")
    for words in ("A: one.zarr, synthetic over 17 tokens.", "B: other.zarr, synthetic over 17",
                  "17 of 17 columns are in both.", "white 0.00 (no difference)", "in A → in B",
                  "B − A = "):  # fmt: skip
        assert words in exported.caption
    for words in ("a model over", "with the token's probability", "was not measured"):
        assert words not in exported.caption
    a, b = difference.sides[figure]
    overview = [line for line in lines if line["part"] == "overview"]
    drawn = np.array([float(line["B − A (nats)"]) for line in overview])
    np.testing.assert_allclose(drawn.reshape(a.shape), b - a, atol=1e-6)
    assert not any("→" in cell for line in lines for cell in line.values())


@pytest.mark.parametrize(
    ("figure", "choices"), [("lens", {}), ("attention", {}), ("attention", {"head": 1})]
)
def test_a_table_has_the_top_token_of_either_side_with_its_probability(difference, figure, choices):
    """A mean over heads has no probability; a cell of one head has its largest weight."""
    _, lines = _table(difference, figure, **choices)
    drawn = [line for line in lines if line["part"] in ("section", "inset")]
    assert drawn
    for line in drawn:
        entry, at = int(line["layer"]), int(line["first position"])
        for name, trace in zip("AB", difference.traces, strict=True):
            text, written = line[f"top token in {name}"], line[f"top token probability in {name}"]
            assert text
            if figure == "lens":
                (token,) = trace.text_of(trace.lens("lens_top_ids")[entry, at, :1])
                expected = np.exp(trace.lens("lens_top_logprobs")[entry, at, 0])
            elif choices:
                token = trace.tokens[int(trace["top_key"][entry, 1, at])]
                expected = trace["max_prob"][entry, 1, at]
            else:
                assert written == ""
                continue
            assert text.lstrip("'_") == mark_whitespace(str(token)).lstrip("_")
            assert float(written) == pytest.approx(float(expected), rel=1e-6)


def test_a_token_of_one_side_alone_leaves_the_cells_of_the_other_empty():
    a = synthetic(layers=2, heads=2, window=False)
    texts = np.array([*a.tokens[:5], " other", *a.tokens[6:]], np.dtypes.StringDType())
    ids = np.array([*a["token_ids"][:5], 999, *a["token_ids"][6:]])
    b = Trace(a.dataset.assign_coords(
        token_ids=("position", ids.astype(np.int32)), token_text=("position", texts)
    ))  # fmt: skip
    _, lines = _table(compare(a, b), "lens", section="0:9")
    sides = [line for line in lines if line["part"] == "section" and not line["B − A (nats)"]]
    assert sides
    for line in sides:
        filled = [bool(line[f"top token in {name}"]) for name in "AB"]
        assert sum(filled) == 1
        assert [bool(line[f"top token probability in {name}"]) for name in "AB"] == filled


@pytest.mark.parametrize("choices", [{"head": 1}, {"layer": 2}, {"layer": 0, "head": 0}])
def test_heads_have_a_scale_about_zero_and_the_most_attended_tokens_of_both(difference, choices):
    exported, lines = _table(difference, "attention", **choices)
    assert "white 0.00 (no difference)" in exported.caption
    of = {key: choices[key] for key in choices}
    for line in (line for line in lines if line["part"] == "section"):
        layer, head, at = int(line["layer"]), int(line["head"]), int(line["first position"])
        assert of.get("head", head) == head
        value = [float(side["entropy"][layer, head, at]) for side in difference.traces]
        assert float(line["B − A (nats)"]) == pytest.approx(value[1] - value[0], abs=1e-6)
        keys = [int(side["top_key"][layer, head, at]) for side in difference.traces]
        texts = [difference.tokens[key] for key in keys]
        assert [line[f"top token in {name}"].lstrip("'_") for name in "AB"] == [
            mark_whitespace(text).lstrip("_") for text in texts
        ]


@pytest.mark.parametrize(
    ("figure", "choices", "message"),
    [
        ("map", {}, "a comparison, which has story, lens and attention"),
        ("heads", {}, "a comparison, which has story, lens and attention"),
        ("profile", {}, "a comparison, which has story, lens and attention"),
        ("lens", {"stat": "probability"}, "must be entropy, not"),
        ("attention", {"stat": "max_prob"}, "must be entropy, not"),
    ],
)
def test_what_a_comparison_does_not_have_is_refused(difference, figure, choices, message):
    with pytest.raises(UsageError, match=message):
        export(difference, figure, "csv", **choices)

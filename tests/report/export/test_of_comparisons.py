"""A figure of a comparison shows B − A, says so, and names both sides."""

import csv
import io

import numpy as np
import pytest

from attentropy.engine.errors import UsageError
from attentropy.report.compare.difference import compare
from attentropy.report.export.export import export
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
    assert {line["top token probability"] for line in lines} == {""}
    assert all(
        "→" in line["top token"] or line["top token"] for line in lines if line["part"] == "section"
    )


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
        texts = [difference.tokens[key].strip() for key in keys]
        assert keys[0] == keys[1] or (
            texts[0][:6] in line["top token"] and "→" in line["top token"]
        )


@pytest.mark.parametrize(
    ("figure", "choices", "message"),
    [
        ("map", {}, "a comparison, which has lens and attention"),
        ("heads", {}, "a comparison, which has lens and attention"),
        ("profile", {}, "a comparison, which has lens and attention"),
        ("lens", {"stat": "probability"}, "must be entropy, not"),
        ("attention", {"stat": "max_prob"}, "must be entropy, not"),
    ],
)
def test_what_a_comparison_does_not_have_is_refused(difference, figure, choices, message):
    with pytest.raises(UsageError, match=message):
        export(difference, figure, "csv", **choices)

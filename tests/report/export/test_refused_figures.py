"""What a figure or a trace does not have is said in one line."""

import pytest

import attentropy
from attentropy.engine.errors import AttentropyError, UsageError

pytestmark = pytest.mark.costly


@pytest.mark.parametrize(
    ("figure", "choices", "message"),
    [
        ("lens", {"layer": 1}, "`layer` does not apply to the figure lens"),
        ("heads", {"section": "1:2"}, "takes `score`"),
        ("lens", {"inset": 400}, "position 400 is out of range (0 to 16)"),
        ("lens", {"inset": 1, "section": "4:9"}, "outside `section` 4:9"),
        ("lens", {"section": "nowhere"}, "a range of positions such as"),
        ("attention", {"layer": 77}, "layers 0 to 5"),
        ("attention", {"head": 77}, "0 to 2"),
        ("map", {"section": "1:2"}, "whole"),
        ("lens", {"palette": "rainbow"}, "diverging or cividis"),
        ("lens", {"stat": "distance"}, "entropy, lens_kl, probability or lens_rank"),
        (
            "attention",
            {"stat": "lens_kl"},
            "entropy, normalized_entropy, max_prob, distance or sink",
        ),
        ("lens", {"site": "mlp"}, "must be residual, not 'mlp'"),
        ("attention", {"site": "residual"}, "`site` does not apply to the figure attention"),
        ("map", {"stat": "entropy"}, "`stat` does not apply to the figure map"),
        ("nothing", {}, "lens, attention"),
        ("lens", {"width": 5}, "30 to 1000 mm"),
        ("lens", {"width": float("nan")}, "30 to 1000 mm"),
        ("lens", {"font_size": 20, "width": 85}, "at most 11.0 points"),
        ("lens", {"font_size": 3, "width": 900}, "at least "),
        ("lens", {"format": "gif"}, "svg, png, pdf or csv"),
        ("lens", {"dpi": 9}, "36 to 2400"),
    ],
)
def test_what_a_figure_or_a_trace_does_not_have_is_one_line(trace, figure, choices, message):
    with pytest.raises(UsageError) as error:
        attentropy.export(trace, figure, **choices)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("figure", "missing", "message"),
    [
        ("lens", ["lens_entropy"], '`lens="residual"`'),
        ("attention", ["entropy"], '`stats="entropy"`'),
        ("map", ["window"], '`map_tile="auto"`'),
        ("heads", [], "`scores=True`"),
        ("profile", [], "attentropy profile"),
    ],
)
def test_what_was_not_recorded_names_what_to_run(trace, figure, missing, message):
    with pytest.raises(AttentropyError, match=message) as error:
        attentropy.export(type(trace)(trace.dataset.drop_vars(missing)), figure)
    assert not isinstance(error.value, UsageError)

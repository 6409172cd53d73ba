"""A sample of `tests/report/fuzz_values.py`: values that cannot be, and those that just can."""

from collections import Counter

import numpy as np
import pytest
from impossible_cases import KINDS, make, outcome, save_template

from attentropy.engine.errors import TraceError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from attentropy.report.findings.observations import observe
from attentropy.report.page import page as report_page
from complete import complete
from pictures import without_pictures
from possible import impossible_numbers
from traces import synthetic

# The kinds that a case may be of: each kind once, and any.
EACH, ANY = [(kind,) for kind in KINDS], [KINDS] * 6


@pytest.mark.costly
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(EACH + ANY, id="some"),
        pytest.param([KINDS] * 140, id="many", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_is_refused_or_found_and_no_page_prints_it(tmp_path, cases):
    template, outcomes, failed = save_template(tmp_path), Counter(), []
    for number, kinds in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = make(number, template, folder, kinds)
        try:
            outcomes[case.kind, outcome(case)] += 1
        except Exception as error:
            failed.append(f"{number}: {case.kind}, {case.variable}: {error}")
    assert failed == []
    assert {kind for kind, _ in outcomes} == set(KINDS)
    assert not any(result in ("opened", "page") for kind, result in outcomes if kind in KINDS[:4])


def _page(trace):
    with without_pictures():
        return report_page.render(trace, observe(trace))


def test_the_reader_of_a_page_finds_the_numbers_that_cannot_be():
    for text in ("-275 % of its range", "8 of 0 cells", "244 %", "NaN nats", "p = 1.20", "inf %",
                 "normalized entropy 3.1", "9 of 8 heads"):  # fmt: skip
        assert impossible_numbers(f"<p>{text}</p>"), text
    for trace in (synthetic(), complete()):
        assert impossible_numbers(_page(trace)) == []


@pytest.mark.costly
@pytest.mark.parametrize("name", ["lens_top_logprobs", "entropy", "lens_entropy", "rehearsal"])
def test_what_was_not_measured_anywhere_is_no_number_on_the_page(name):
    trace = complete()
    values = np.full_like(trace[name], np.nan)
    changed = trace.dataset.assign({name: (trace.dataset[name].dims, values)})
    assert impossible_numbers(_page(Trace(changed, trace.sources))) == []


@pytest.mark.costly
@pytest.mark.parametrize("name", ["generated_logprob", "token_logprob", "lens_target_logprob"])
def test_a_probability_of_zero_is_no_infinity_on_the_page(name):
    trace = complete()
    values = np.full_like(trace[name], -np.inf)
    changed = Trace(trace.dataset.assign({name: (trace.dataset[name].dims, values)}), trace.sources)
    assert changed.verify()
    assert impossible_numbers(_page(changed)) == []


def _impossible(path):
    """Write a trace with entropies of −5 and probabilities of 2."""
    data = synthetic(layers=2, heads=2).dataset.copy(deep=True)
    data["entropy"].values[:] = -5
    data["max_prob"].values[:] = 2
    return Trace(data).save(path)


def test_entropies_of_minus_five_are_refused_and_all_named_by_verify(tmp_path, capsys):
    path = _impossible(tmp_path / "t.zarr.zip")
    with pytest.raises(TraceError, match="entropy is -5 at layer 0, head 0, query 0, below 0"):
        Trace.open(path)
    assert main(["render", str(path), "-o", str(tmp_path / "t.html")]) == 1
    assert not (tmp_path / "t.html").exists()
    capsys.readouterr()
    assert main(["info", str(path), "--verify"]) == 1
    out, err = capsys.readouterr()
    assert "max_prob is 2 at layer 0, head 0, query 0, above 1" in out
    assert err == "error: t.zarr.zip: 136 faults, 2,373 values checked\n"

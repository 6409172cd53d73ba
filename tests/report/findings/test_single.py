"""Each finding agrees with the numbers, and says so if there is nothing to find."""

from dataclasses import replace

import numpy as np
import pytest

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.findings.single import observe
from traces import CHAT, synthetic


def _by_id(trace):
    return {observation.id: observation for observation in observe(trace)}


def test_each_finding_has_its_number():
    findings = observe(synthetic())
    assert 3 <= len(findings) <= 8
    assert all(o.text.endswith(".") and o.statistic and "\n" not in o.text for o in findings)


def test_what_was_not_measured_is_said_so():
    raw = _by_id(synthetic(["a", "b"], ["content"] * 2))
    assert "not measured" in raw["rehearsal"].text
    assert raw["rehearsal"].value is None
    assert "not measured" in raw["sinks"].text


def test_extreme_layers_and_heads_are_those_of_the_numbers():
    trace = synthetic()
    trace.dataset["entropy"].values[2, 1] = 0.0
    trace.dataset["entropy"].values[4, 0] = np.log(np.arange(len(CHAT)) + 1)
    finding = _by_id(trace)["heads"]
    assert (finding.layer, finding.head) == (2, 1)
    assert "Most diffuse head: L4H0, 1.00; 1 of 18 heads above 0.9" in finding.text
    assert finding.text.endswith("(2 queries with at least 16 keys, sink keys included).")
    assert finding.n == len(CHAT) - 15


def test_heads_are_named_by_the_numbers_that_the_model_gives_them():
    trace = synthetic()
    trace.dataset["entropy"].values[2, 1] = 0.0
    trace = Trace(trace.dataset.assign_coords(head=np.array([4, 9, 20], np.int32)))
    finding = _by_id(trace)["heads"]
    assert finding.head == 9
    assert "L2H9" in finding.text


@pytest.mark.parametrize("entropy", [11.92, 0.0])
def test_values_that_are_written_alike_are_said_to_be_equal(entropy):
    trace = Trace(synthetic(vocabulary=200_000).dataset.drop_vars("lens_kl"))  # no skill
    rows = np.arange(6)[:, None] * 1e-4
    trace.dataset["lens_entropy"].values[0] = entropy + rows
    trace.dataset["entropy"].values[:] = 0.5 * np.log(np.arange(len(CHAT)) + 1)
    findings = _by_id(trace)
    assert findings["lens_layers"].text == (
        f"Mean lens entropy is {entropy:.2f} nats in every layer, over {len(CHAT)} positions."
    )
    same = (
        "All 18 heads have the same mean normalized entropy, 0.50 (2 queries with at least 16 keys"
    )
    assert findings["heads"].text.startswith(same)
    assert findings["range"].text.endswith("By layer, it is 0.50 in every layer.")


def test_one_layer_one_head_and_one_position_are_singular():
    trace = synthetic(["a"], ["content"], layers=1, heads=1)
    trace.dataset["lens_entropy"].values[:] = 2.0
    findings = _by_id(trace)
    text = "Mean lens entropy is 2.00 nats in layer 0, over 1 position."
    assert findings["lens_layers"].text == text
    assert not any(f"1 {word}s" in o.text for o in findings.values() for word in ("layer", "token"))
    assert "heads" not in findings
    assert "range" not in findings


def test_layers_without_attention_are_left_out():
    trace = synthetic()
    trace.dataset["entropy"].values[0] = np.nan
    findings = _by_id(trace)
    assert findings["heads"].layer != 0
    assert findings["range"].layer != 0


def test_of_a_lens_that_read_a_part_only_that_part_is_counted():
    trace = synthetic()
    for name in ("lens_entropy", "rehearsal"):
        trace.dataset[name].values[0, :2] = np.nan
        trace.dataset[name].values[0, :, [3, 13]] = np.nan
    findings = _by_id(trace)
    assert findings["rehearsal"].n == 16
    assert findings["lens_layers"].n == len(CHAT) - 2
    assert f"over {len(CHAT) - 2} positions." in findings["lens_layers"].text


def _with_sites(*sites):
    """Repeat the synthetic lens for each site, with 1 added except at the site "residual"."""
    whole = synthetic().dataset
    names = [name for name in whole.data_vars if "site" in whole[name].dims]
    text = np.dtypes.StringDType()
    dataset = whole.drop_vars([*names, "site"])
    for name in names:
        parts = [whole[name].values[0] + (1 if site != "residual" else 0) for site in sites]
        dataset[name] = (whole[name].dims, np.stack(parts).astype(whole[name].dtype))
    return Trace(dataset.assign_coords(site=("site", np.array(sites, text))))


def test_the_residual_stream_is_shown_wherever_it_stands_among_the_sites():
    assert observe(_with_sites("attention", "mlp", "residual")) == observe(synthetic())
    alone = _by_id(_with_sites("attention"))
    assert "of the attention output alone" in alone["lens_layers"].text
    assert "settled" not in alone


def test_lens_entropy_is_compared_over_the_readable_layers():
    trace = synthetic()
    means, room = np.array([0.5, 3.0, 2.0, 1.0, 4.0, 1.5]), np.log(2000)
    trace.dataset["lens_entropy"].values[0] = means[:, None]
    trace.dataset["lens_kl"].values[0] = np.array([2, 0.5, 0.1, 2, 0.1, 0])[:, None] * room
    text = (
        "Mean lens entropy of the layers whose lens is readable is lowest in layer 5 (1.50 nats) "
        f"and highest in layer 4 (4.00 nats), over {len(CHAT)} positions."
    )
    assert _by_id(trace)["lens_layers"].text == text
    other = Trace(trace.dataset.copy(deep=True))
    other.dataset["lens_kl"].values[0] = 2 * room
    assert "lens_layers" not in _by_id(other)


def test_a_prompt_whose_sinks_leave_too_few_keys_in_a_layer_has_no_extreme_heads():
    trace = synthetic()
    attention = planes.read_attention(trace)
    assert {"heads", "range"} <= {one.id for one in observe(trace, attention)}
    counts = attention.focus_count.copy()
    counts[2] = 0
    few = replace(attention, focus_count=counts)
    assert not {"heads", "range"} & {one.id for one in observe(trace, few)}

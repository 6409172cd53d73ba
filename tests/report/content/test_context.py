"""What page, figure and `info` say of the use of the context."""

import csv
import io
import json

import numpy as np
import pytest

import attentropy
from attentropy.engine.errors import AttentropyError
from attentropy.engine.trace.dataset import Trace
from attentropy.report.cli import main
from attentropy.report.commands.context_facts import context_facts, context_lines
from attentropy.report.content.context_tables import context_tables, head_windows
from attentropy.report.figures.context_chart import context_chart, lines_sentence
from attentropy.report.findings.context import context_sentences, reach_words
from attentropy.report.findings.single import observe
from attentropy.report.page.page import render
from contexts import FAR, NEAR, with_context
from traces import synthetic

ROW = 41 * 64


def _trace():
    return with_context([[NEAR, FAR, NEAR, NEAR], [NEAR, NEAR, NEAR, NEAR]])


def test_the_sentences_say_how_many_heads_need_most_and_what_windows_take():
    result, cache = context_sentences(_trace().context_use())
    assert result == (
        "1 of 8 heads needs a window of more than 16 tokens to hold 95 % of what it attends to "
        "besides the first four tokens; uniform attention would need 32."
    )
    full, windowed = 4 * ROW, (41 + 3 * 5) * 64
    assert f"would take {windowed / 1000:.1f} kB instead of {full / 1000:.1f} kB" in cache
    assert "it saves 66 %" in cache


def test_a_layer_with_a_window_of_its_own_is_named():
    use = with_context([[NEAR, NEAR], [NEAR, NEAR]], visible=[10, 41]).context_use()
    result, _, limits = context_sentences(use)
    assert result.startswith("None of 4 heads need")
    assert "In 1 of 2 layers the model itself shows a query no more than 10 tokens" in limits


def test_a_model_that_looks_both_ways_has_windows_on_either_side_and_no_cache():
    trace = _trace()
    visible = np.full_like(trace["visible"], 41)
    both_ways = Trace(trace.dataset.assign(visible=(("layer", "query"), visible)))
    (result,) = context_sentences(both_ways.context_use())
    assert "more than 16 tokens on either side" in result
    assert "16 tokens away or further" in reach_words(both_ways.context_use())


def test_the_means_say_how_far_the_prompt_lets_anyone_see():
    words = reach_words(_trace().context_use())
    assert "means over the 41 tokens" in words
    assert "51 % of them can look 16 tokens back or further" in words  # 21 of 41
    assert "no window can be judged beyond 41 tokens" in words


def test_the_roster_has_the_largest_window_first():
    use = _trace().context_use()
    first, second = head_windows(use)[:2]
    assert (first.layer, first.head, first.windows) == (0, 1, (41, 41))
    assert first.far_mass == pytest.approx(0.7)
    assert second.windows == (1, 1)
    tables = context_tables(use, ["0", "1"])
    assert tables["context"].rows[0][:5] == ["L0H1", "all 41", "none", "all 41", "none"]
    assert tables["context"].rows[0][5:] == ["10 %", "70 %"]
    layers = tables["contextlayers"].rows
    assert [row[:4] for row in layers] == [["0", "41", "1 of 4", "2"], ["1", "41", "0 of 4", "2"]]


def test_a_layer_that_reads_the_keys_of_another_has_no_cache_of_its_own():
    use = with_context([[NEAR, NEAR], [NEAR, FAR]], entries=[0, 0]).context_use()
    first, second = context_tables(use, ["0", "1"])["contextlayers"].rows
    assert first[3:] == ["2", "5.2 kB", "2.9 kB", "2.9 kB"]  # 5 + 41 keys of 64 bytes
    assert second[3:] == ["those of layer 0", None, None, None]


def test_the_table_and_the_lines_are_bounded():
    heads = [[NEAR] * 200, [FAR] * 200]
    use = with_context(heads).context_use()
    table = context_tables(use, ["0", "1"])["context"]
    assert len(table.rows) == 128
    assert table.title == "The 128 heads (of 400) with the largest windows"
    chart = context_chart(use, ["0", "1"], 1010)
    assert len({row["head"] for row in chart["datasets"]["held"]}) == 300
    assert "300 of 400, evenly by window" in lines_sentence(use)


@pytest.mark.parametrize("width", [1010, 330])
def test_lines_end_where_the_layer_lets_nobody_see_further(width):
    use = with_context([[NEAR, FAR]], visible=[10]).context_use()
    data = context_chart(use, ["0"], width)["datasets"]
    assert {row["x"] for row in data["masses"]} == set(range(5))  # distances up to 9
    assert {row["x"] for row in data["massesfirst"]} == {-2}


def test_info_has_all_heads_as_json_and_the_widest_as_lines():
    facts = context_facts(_trace())["context"]
    assert (facts["heads"], facts["far_heads"], facts["far_from_tokens"]) == (8, 1, 16)
    assert (facts["cache_bytes"], facts["cache_bytes_95"]) == (4 * ROW, (41 + 3 * 5) * 64)
    assert facts["windows"][0] == {
        "layer": 0, "head": 1, "first_keys": 0.1, "window_95": 41, "queries_beyond_95": 0.0,
        "window_99": 41, "queries_beyond_99": 0.0,
    }  # fmt: skip
    assert len(facts["windows"]) == 8
    json.dumps(facts)
    lines = context_lines(_trace())["context"]
    assert lines["layer 0 head 1"] == (
        "41 tokens hold 95 % (none of the queries see further), 41 hold 99 %"
    )
    assert context_facts(synthetic()) == context_lines(synthetic()) == {}


def test_the_figure_has_its_caption_and_one_line_of_values_per_head():
    figure = attentropy.export(_trace(), "context", "csv")
    assert "1 of 8 heads needs a window" in figure.caption
    assert "upper bound" in figure.caption
    lines = list(csv.DictReader(io.StringIO(figure.data.decode())))
    assert len(lines) == 8
    assert lines[0]["window for 95 % (tokens)"] == "41"
    assert float(lines[0]["distance 32 or more"]) == pytest.approx(0.7)
    shares = [float(value) for name, value in lines[0].items() if name.startswith("distance")]
    assert sum(shares) + float(lines[0]["first four tokens"]) == pytest.approx(1)
    text = attentropy.export(_trace(), "context", "svg").data.decode()
    for part in ("distance to the key (tokens)", "window (tokens)", "first 4", "head"):
        assert part in text


def test_a_trace_without_it_has_no_such_figure():
    with pytest.raises(AttentropyError, match="no attention by distance"):
        attentropy.export(synthetic(), "context")


@pytest.mark.costly
def test_the_page_has_a_section_only_where_it_was_measured():
    trace = _trace()
    page = render(trace, observe(trace))
    assert 'id="section-context"' in page
    assert "to hold 95\u00a0% of what it attends to" in page
    assert "upper bound" in page
    assert 'id="table-contextlayers"' in page
    other = synthetic()
    assert 'id="section-context"' not in render(other, observe(other))


@pytest.mark.costly
def test_a_run_records_it_on_request(tmp_path, capsys):
    target = tmp_path / "t.zarr.zip"
    arguments = ["--context", "--max-new-tokens", "1", "--lens", "none", "-o", str(target)]
    assert main(["extract", *arguments, "--no-reference", "--test-sources", "none"]) == 0
    capsys.readouterr()
    assert main(["info", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["context"]
    assert facts["heads"] == 32
    assert main(["info", str(target)]) == 0
    assert "of 32 heads" in capsys.readouterr().out
    assert main(["extract", "--context", "--stats", "none", "-o", str(tmp_path / "u.zarr")]) == 2
    assert "--context sums weights of attention" in capsys.readouterr().err

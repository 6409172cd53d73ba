"""The benchmark times only correct results and gives a reason for every missing time."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from attentropy.engine.bench import (
    attention,
    attention_rivals,
    measure,
    run,
    vocabulary,
    vocabulary_rivals,
)
from attentropy.engine.bench.case import AttentionCase, VocabularyCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.bench.rival import Rival
from attentropy.engine.errors import UsageError
from attentropy.engine.measure import fused_kernels as stock
from attentropy.engine.measure import machine
from attentropy.report.cli import main
from attentropy.report.commands.bench_grid import grid_for

CASE = AttentionCase(130, 4, 2, 16, True, "float32", "cpu")
WORDS = VocabularyCase(33, 24, 1001, "float32", "cpu")
HERE = [
    pytest.param(case, name, id=f"{name}-{case.what}")
    for case in (CASE, WORDS)
    for name, rival in measure.RIVALS[case.what].items()
    if rival.why_absent("cpu") is None
]


@pytest.mark.parametrize(("case", "name"), HERE)
def test_every_way_on_a_cpu_runs_and_is_right(case, name):
    measurement = measure.measure(name, case, 0.0)
    assert measurement["wrong"] == []
    assert measurement["errors"]
    assert len(measurement["times"]) >= 3
    assert min(measurement["times"]) > 0


@pytest.mark.parametrize("name", ["flash once, [V, K]", "eager", "attention_received"])
def test_ways_are_right_without_a_causal_mask(name):
    case = AttentionCase(65, 4, 2, 16, False, "float32", "cpu")
    assert measure.measure(name, case, 0.0)["wrong"] == []


@pytest.mark.parametrize(
    ("truth", "case", "name"),
    [
        (attention, CASE, "ours, every statistic"),
        (attention, CASE, "attention_received"),
        (attention, CASE, "attention_map, tile 128"),
        (vocabulary, WORDS, vocabulary_rivals.OURS),
        (vocabulary, WORDS, "product alone"),
    ],
)
def test_a_number_that_is_off_is_called_wrong(truth, case, name):
    inputs = truth.inputs(case)
    with torch.inference_mode():
        right = measure.RIVALS[case.what][name].prepare(*inputs, case)()
    judged = truth.errors(case, inputs, right)
    assert all(fine for _, fine in judged.values())
    for number in judged:
        for off in (1.01, float("nan")):
            if not right[number].is_floating_point():
                values = right[number].flip(-1)
            else:
                values = right[number] * off + 2e-3
            _, fine = truth.errors(case, inputs, right | {number: values})[number]
            assert not fine, number


def test_rows_are_sampled_at_both_ends_and_over_heads():
    heads, queries = zip(*attention.sampled_rows(CASE), strict=True)
    assert {0, 129} <= set(queries)
    assert set(heads) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", [attention_rivals.OURS, "attention_received"])
def test_ours_is_not_timed_where_it_is_wrong(name, monkeypatch):
    right = attention_rivals.RIVALS[name]

    def prepare(*inputs):
        outputs = right.prepare(*inputs)()
        return lambda: {key: v if key == "lse" else v + 1.0 for key, v in outputs.items()}

    monkeypatch.setitem(attention_rivals.RIVALS, name, Rival(right.group, prepare))
    measurement = measure.measure(name, CASE, 0.0)
    assert "times" not in measurement
    assert " is off by " in measurement["reason"]


def test_eager_says_what_it_needs_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(attention_rivals, "_free_bytes", lambda device: 10**5)
    with pytest.raises(MemoryError, match="GB for its weights"):
        measure.measure("eager", CASE, 0.0)


@pytest.mark.parametrize("name", ["flash", "cudnn"])
def test_the_gpu_kernels_of_pytorch_are_called_as_they_are_declared(name):
    with FakeTensorMode():
        q = torch.empty(1, 8, 128, 64, dtype=torch.bfloat16, device="cuda")
        k = torch.empty(1, 2, 128, 64, dtype=torch.bfloat16, device="cuda")
        out, lse = stock.FUSED_KERNELS[name].attend(q, k, k, True, 0.1)
        assert out.shape == q.shape
        assert lse.shape == (1, 8, 128)
        if stock.FUSED_KERNELS[name].wide:
            wide, _ = stock.FUSED_KERNELS[name].attend(q, k, torch.cat([k, k], -1), True, 0.1)
            assert wide.shape == (1, 8, 128, 128)


@pytest.mark.parametrize("way", ["twice, V := K", "once, [V, K]", "+ sweep"])
@pytest.mark.parametrize("version", ["2", "3"])
def test_flash_attention_packages_are_read_as_tokens_by_heads(way, version, monkeypatch):
    def flash_attn_func(q, k, v, softmax_scale, causal, return_attn_probs):
        assert return_attn_probs
        assert q.is_contiguous()
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        if version == "2" and v.shape[-1] != k.shape[-1]:
            raise RuntimeError("head sizes differ")
        k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
        s = q @ k.transpose(-1, -2) * softmax_scale
        if causal:
            s = s.masked_fill(torch.ones(s.shape[-2:], dtype=torch.bool).triu(1), -torch.inf)
        return (s.softmax(-1) @ v).transpose(1, 2), s.logsumexp(-1), None

    module = stock.FUSED_KERNELS[f"flash-attn {version}"].module
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(flash_attn_func=flash_attn_func))
    inputs = attention.inputs(CASE)
    rival = attention_rivals.RIVALS[f"flash-attn {version} {way}"]
    outputs = rival.prepare(*inputs, CASE)()
    judged = attention.errors(CASE, inputs, outputs)
    assert set(judged) == {"out", "entropy"}
    assert all(fine for _, fine in judged.values())


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_lse_that_entropy_needs(monkeypatch):
    from torch.nn.attention.flex_attention import flex_attention

    monkeypatch.setattr(stock, "_compiled_flex", lambda: flex_attention)
    case = AttentionCase(64, 4, 2, 16, False, "float32", "cpu")
    inputs = attention.inputs(case)
    with torch.inference_mode():
        outputs = attention_rivals.RIVALS["flex once, [V, K]"].prepare(*inputs, case)()
    assert all(fine for _, fine in attention.errors(case, inputs, outputs).values())


class _Scripted:
    """A measuring process with scripted answers: {rival: [(answers, exit code), …]}."""

    script: dict = {}  # noqa: RUF012
    requests: list = []  # noqa: RUF012

    def ask(self, rival, cases, time, tell):
        _Scripted.requests.append((rival, [case.size for case in cases]))
        answers, self.code = _Scripted.script[rival].pop(0)
        return answers

    def end(self):
        return self.code

    def kill(self):
        raise AssertionError("nothing is left over")


def _timed(*times):
    return {"times": list(times), "errors": {"out": 1e-7}, "wrong": [], "peak_bytes": 8}


def _run(monkeypatch, script, rounds=1, limit=60.0):
    monkeypatch.setattr(run, "_Process", _Scripted)
    monkeypatch.setattr(_Scripted, "script", script)
    monkeypatch.setattr(_Scripted, "requests", [])
    cases = [AttentionCase(n, 2, 2, 16, True, "float32", "cpu") for n in (1, 2, 3)]
    return run.run(
        list(script), cases, seconds=0.0, rounds=rounds, limit=limit, tell=lambda rival, case: None
    )


def test_a_rival_that_dies_loses_one_case_and_goes_on(monkeypatch):
    rows = _run(monkeypatch, {"eager": [([_timed(1, 2, 3)], -9), ([_timed(4, 5, 6)], 0)]})
    assert _Scripted.requests == [("eager", [1, 2, 3]), ("eager", [3])]
    assert [bool(row.seconds) for row in rows] == [True, False, True]
    assert rows[1].reason == "its process exited with code -9"
    assert rows[2].seconds[1] == 5


def test_a_process_that_gave_its_reason_loses_no_other_case(monkeypatch):
    broken = {"reason": "AcceleratorError: it broke"}
    rows = _run(monkeypatch, {"flash": [([broken], 1), ([_timed(1, 1, 1)] * 2, 0)]})
    assert [row.reason for row in rows] == [broken["reason"], "", ""]


def test_rounds_alternate_between_rivals_and_are_pooled(monkeypatch):
    first, second = [_timed(1, 1, 1)] * 3, [_timed(3, 3, 9)] * 3
    script = {"flash": [(first, 0), (second, 0)], "eager": [(first, 0), (first, 0)]}
    rows = _run(monkeypatch, script, rounds=2)
    assert [rival for rival, _ in _Scripted.requests] == ["flash", "eager", "flash", "eager"]
    assert rows[0].runs == 6
    assert rows[0].seconds == (1, 2, 3)


def test_when_time_is_up_no_round_begins_and_what_was_measured_is_kept(monkeypatch):
    late = {"reason": measure.NO_TIME}
    script = {"flash": [([_timed(1, 1, 1), late, late], 0)]}
    rows = _run(monkeypatch, script, rounds=3, limit=-1.0)
    assert [row.reason for row in rows] == ["", measure.NO_TIME, measure.NO_TIME]
    both = [[_timed(1, 1, 1)] * 3, [_timed(3, 3, 3), late, late]]
    rows = _run(monkeypatch, {"flash": [(answers, 0) for answers in both]}, rounds=2)
    assert [row.runs for row in rows] == [6, 3, 3]


def test_cases_that_begin_too_late_are_not_measured_and_errors_are_reasons():
    request = {"what": "attention", "rival": "flash", "seconds": 0.0, "cases": [vars(CASE)] * 2}
    assert list(measure.answers(request | {"until": 0.0})) == [{"reason": measure.NO_TIME}] * 2
    odd = vars(CASE) | {"dtype": "no_such_type"}
    first, second = measure.answers(request | {"cases": [odd, vars(CASE)], "until": float("inf")})
    assert first["reason"].startswith("AttributeError: ")
    assert second["times"]


def test_what_cannot_be_here_starts_no_process(monkeypatch):
    rows = _run(monkeypatch, {"cudnn": []})
    assert [row.reason for row in rows] == ["does not run on cpu"] * 3
    assert _Scripted.requests == []


RESULTS = Results(
    "attention", "attentropy bench", "ours, entropy", {"device": "a machine"},
    {"flops_per_second": 1e12}, (CASE,),
    (
        Row(0, "ours, entropy", "ours", 1e6, (1.0, 2.0, 3.0), 5, 10, {"out": 0.0, "lse": None},
            ("lse",)),
        Row(0, "eager", "eager", 1e6, reason="MemoryError: too large"),
    ),
)  # fmt: skip


def test_results_are_the_same_after_writing_and_reading():
    assert Results.from_json(RESULTS.to_json(), "x") == RESULTS


@pytest.mark.parametrize(
    "change",
    [
        {"what": "cooking"},
        {"cases": []},
        {"ceilings": {}},
        {"ceilings": {"flops_per_second": "1"}},
        {"machine": {"device": 3}},
        {"rows": [{"case": 1, "rival": "a", "group": "b", "flops": 1.0, "reason": "c"}]},
        {"rows": [{"case": 0, "rival": "a", "group": "b", "flops": 1.0}]},
        {"rows": [{"case": 0, "rival": "a", "group": "b", "flops": 1.0, "seconds": [1.0, -1, 1]}]},
        {"rows": [{"case": 0, "rival": "a", "group": "b", "flops": 1.0, "code": "x"}]},
        {"rows": [3]},
    ],
)
def test_a_file_with_other_things_in_it_is_refused(change):
    document = json.loads(RESULTS.to_json()) | change
    with pytest.raises(UsageError, match=r"'x\.json' does not contain results"):
        Results.from_json(json.dumps(document), "x.json")


def test_the_whole_grid_is_every_combination_of_the_values():
    cases = grid_for("attention", "cuda", {"sizes": [1024]}).cases("attention", "cuda")
    assert len(cases) == len(set(cases)) == 8
    assert {(c.head_size, c.heads, c.causal) for c in cases} == {
        (d, h, m) for d in (64, 128) for h in (32, 64) for m in (True, False)
    }


@pytest.mark.costly
def test_the_command_measures_in_processes_and_prints_writes_and_reads_the_same(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(machine, "_SECONDS", 0.0)
    target, page = tmp_path / "bench.json", tmp_path / "bench.html"
    sizes = ["-n", "33,65", "--heads", "4/2", "--seconds", "0"]
    rivals = ["--mask", "full", "--rival", "ours, en*", "--rival", "flex"]
    more = ["-o", str(target), "--html", str(page), "--json"]
    assert main(["bench", *sizes, *rivals, *more]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output == json.loads(target.read_text())
    assert output["machine"]["torch"]
    assert output["ceilings"]["flops_per_second"] > 0
    assert "--heads 4/2" in output["command"]
    results = Results.from_json(target.read_text(), "bench.json")
    assert [case.length for case in results.cases] == [33, 65]
    assert not any(case.causal for case in results.cases)
    assert [row.rival for row in results.of(1)] == ["ours, entropy", "flex"]
    assert all(row.seconds for row in results.rows if row.group == "ours")
    if results.cases[0].device == "cpu":
        assert results.of(0)[1].reason == "does not run on cpu"
    assert "65 tokens" in page.read_text()
    assert main(["bench", "--read", str(target)]) == 0
    assert "65 tokens, full, 4/2 heads" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-n", "1x"], "1x"),
        (["-n", "0"], "at least 1"),
        (["-n", "1k,"], "give sizes"),
        (["--heads", "8"], "QUERY/KEY"),
        (["--heads", "8/8,8/3"], "multiple"),
        (["--mask", "both"], "neither causal nor full"),
        (["--rival", "theirs"], "no rival"),
        (["--read", "no-such-file"], "cannot be read"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1

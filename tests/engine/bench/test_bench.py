"""The benchmark gives each rival its turn, and every missing time a reason."""

import json

import pytest

from attentropy.engine.bench import (
    measure,
    run,
)
from attentropy.engine.bench.case import AttentionCase
from attentropy.engine.bench.results import Results, Row
from attentropy.engine.errors import UsageError
from attentropy.engine.measure import machine
from attentropy.report.cli import main
from attentropy.report.commands.bench_grid import grid_for

CASE = AttentionCase(130, 4, 2, 16, True, "float32", "cpu")


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
        (["--rival", "theirs"], "no method"),
        (["--read", "no-such-file"], "cannot be read"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(arguments, words, capsys):
    assert main(["bench", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1

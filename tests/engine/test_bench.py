"""The benchmark measures what is right, says why it did not, and leaves rivals alone."""

import json

import pytest
import torch

from attentropy.engine.bench import measure, rivals
from attentropy.engine.bench.case import Case
from attentropy.report.cli import main

CASE = Case(65, 4, 2, 16, True, "float32", "cpu")


def test_the_true_entropies_are_those_of_eager_attention():
    q, k, v = CASE.inputs()
    wanted, allowed = CASE.true_entropies(q, k)
    eager = rivals.RIVALS["eager, materialised"](q, k, v, CASE)()
    got = torch.stack([eager[0, h, i] for h, i in CASE.rows()])
    assert ((got - wanted).abs() <= allowed).all()
    assert allowed.max() < 1e-4
    assert {0, 64} <= {row for _, row in CASE.rows()}


@pytest.mark.parametrize("name", [n for n in rivals.RIVALS if n.startswith(("ours", "fused"))])
@pytest.mark.parametrize("causal", [True, False])
def test_every_way_on_a_cpu_runs_and_is_right(name, causal, monkeypatch):
    monkeypatch.setattr(measure, "_SECONDS", 0.0)
    found = measure.measure(name, Case(65, 4, 2, 16, causal, "float32", "cpu"))
    low, middle, high = found["seconds"]
    assert 0 < low <= middle <= high
    assert found["runs"] >= 5
    if "off" not in name:
        assert found["right"]
        assert found["error"] <= found["allowed"]


def test_ours_is_not_timed_where_it_is_wrong(monkeypatch):
    def wrong(q, k, v, case):
        return lambda: torch.ones(1, case.heads, case.length)

    monkeypatch.setitem(rivals.RIVALS, rivals.OURS, wrong)
    found = measure.measure(rivals.OURS, CASE)
    assert "seconds" not in found
    assert "off by" in found["reason"]


def test_the_command_prints_and_writes_the_same_results(tmp_path, capsys):
    target = tmp_path / "bench.json"
    names = ["ours, entropy", "flex twice, V := K"]
    chosen = [word for name in names for word in ("--rival", name)]
    assert main(["bench", "-n", "33", "--heads", "4/2", *chosen, "-o", str(target), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(target.read_text())
    assert told["machine"]["torch"]
    assert told["ceilings"]["flops_per_second"] > 0
    ours, flex = told["cases"][0]["rows"]
    assert ours["right"]
    assert ours["seconds"][1] > 0
    if told["cases"][0]["case"]["device"] == "cpu":
        assert "GPU only" in flex["reason"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["-n", "1x"], "1x"),
        (["-n", "0"], "at least 1"),
        (["--heads", "8"], "QUERY/KEY"),
        (["--heads", "8/3"], "multiple"),
        (["--rival", "theirs"], "no rival"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(given, words, capsys):
    assert main(["bench", *given]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1

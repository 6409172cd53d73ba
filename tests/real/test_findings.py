"""The sentences of SmolLM2's default reports, judged by a script that measures them by itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import attentropy
from attentropy.engine.demo import DEFAULT_PROMPT
from attentropy.engine.demo import path as embedded_folder
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report.cli import main
from real.evidence import Case, Evidence, Model
from real.judge import judge

pytestmark = pytest.mark.real

HERE = Path(__file__).parent
PROMPTS = {one["name"]: one for one in json.loads((HERE / "prompts.json").read_text("utf-8"))}


def messages_of(prompt):
    """Return the chat of a prompt; `{file}` stands for the start of a file of the project."""
    text = json.dumps(prompt["messages"])
    if "file" in prompt:
        part = (HERE.parents[1] / prompt["file"]).read_text("utf-8")[: prompt["characters"]]
        text = text.replace("{file}", json.dumps(part)[1:-1])
    return json.loads(text)


@pytest.fixture(scope="module")
def smollm2(folder_of):
    """Return SmolLM2 as the judge reads it."""
    return Model(folder_of("smollm2"))


@pytest.fixture
def report(tmp_path, capsys):
    """Return a function that writes a default report: its result as JSON, its page, its trace."""

    def write(folder, *prompt):
        page, trace = tmp_path / "page.html", tmp_path / "trace.zarr.zip"
        command = ["report", str(folder), *prompt, "-o", str(page), "--save-trace", str(trace)]
        capsys.readouterr()
        assert main([*command, "--json"]) == 0
        return json.loads(capsys.readouterr().out), page.read_text("utf-8"), trace

    return write


def write_messages(folder, messages):
    """Return a file with a chat."""
    path = folder / "messages.json"
    path.write_text(json.dumps(messages), "utf-8")
    return path


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=list(PROMPTS))
def test_the_judge_calls_no_finding_false(prompt, report, smollm2, tmp_path):
    messages = messages_of(prompt)
    path = write_messages(tmp_path, messages)
    result, _, trace = report(smollm2.folder, "-m", str(path))
    case = Case.of_trace(trace)
    assert case.ids[: case.prompt] == smollm2.chat(messages), "another prompt was read"
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    evidence = Evidence(smollm2, case, system)
    verdicts = judge(result, evidence)
    print(*verdicts, sep="\n")
    assert [str(one) for one in verdicts if one.is_true is False] == []
    assert any(one.is_true for one in verdicts), "nothing was judged"


def finding(result, name):
    """Return the finding of a result by its id."""
    return next(one for one in result["observations"] if one["id"] == name)


def test_the_default_page_of_smollm2(report, smollm2):
    result, page, trace = report(smollm2.folder, "-p", PROMPTS["capital"]["messages"][0]["content"])
    assert "The capital of Australia is Canberra." in page
    assert result["answer"] == "The capital of Australia is Canberra."
    skill = lens_skill(attentropy.open(trace))
    own = Evidence(smollm2, Case.of_trace(trace)).skill()
    np.testing.assert_allclose((skill.skill, skill.agreement), own, atol=1e-3)
    assert np.flatnonzero(skill.is_readable).tolist() == list(range(24, 30))
    assert not finding(result, "rehearsal")["found"]
    sinks = finding(result, "sinks")["text"]
    assert "“<|im_start|>”" in sinks
    assert "“_the”" in sinks


def test_the_embedded_model_is_readable_and_rehearses(report):
    result, _, trace = report(embedded_folder(), "-p", DEFAULT_PROMPT)
    skill = lens_skill(attentropy.open(trace))
    evidence = Evidence(Model(embedded_folder()), Case.of_trace(trace))
    np.testing.assert_allclose((skill.skill, skill.agreement), evidence.skill(), atol=1e-3)
    assert skill.is_readable.all()
    assert 0.77 < skill.skill.min() < 0.79
    assert finding(result, "rehearsal")["found"]
    assert [str(one) for one in judge(result, evidence) if one.is_true is False] == []

"""The sentences of SmolLM2's default reports, judged by a script that measures them by itself."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

import attentropy
from attentropy.engine.demo import DEFAULT_PROMPT
from attentropy.engine.demo import path as embedded_folder
from attentropy.engine.trace.lens_skill import lens_skill
from attentropy.report.cli import main
from real.evidence import Case, Evidence
from real.judge import judge
from real.page_checks import judge_page, judge_sentence, page_sentences
from real.reader import Model

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


def false_ones(verdicts):
    """Return the findings that are false, with what is so instead."""
    return [str(verdict) for verdict in verdicts if verdict.is_true is False]


def unjudged(verdicts):
    """Return the sentences about sources, and those below the headline, that nothing judged."""
    own = ("tested", "evidence", "said-of")
    return [str(one) for one in verdicts if one.is_true is None and one.finding["id"] in own]


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=list(PROMPTS))
def test_the_judge_calls_no_finding_false(prompt, report, smollm2, tmp_path):
    messages = messages_of(prompt)
    path = write_messages(tmp_path, messages)
    result, page, trace = report(smollm2.folder, "-m", str(path))
    case = Case.of_trace(trace)
    assert case.ids[: case.prompt] == smollm2.chat(messages), "another prompt was read"
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    evidence = Evidence(smollm2, case, system)
    verdicts = [*judge(result, evidence), *judge_page(page, evidence)]
    print(*verdicts, sep="\n")
    assert false_ones(verdicts) == []
    assert unjudged(verdicts) == []
    assert any(one.is_true for one in verdicts), "nothing was judged"


def test_the_judge_calls_no_finding_of_gemma_false(report, folder_of, tmp_path):
    """A text that is longer than the 512 tokens of its windows, without a chat template."""
    text, folder = tmp_path / "text.txt", folder_of("gemma3")
    text.write_text((HERE.parents[1] / "LICENSE").read_text("utf-8")[:3400], "utf-8")
    result, page, trace = report(folder, "-f", str(text), "--lens-positions", "-32:")
    case = Case.of_trace(trace)
    assert case.prompt > 512
    evidence = Evidence(Model(folder), case)
    verdicts = [*judge(result, evidence), *judge_page(page, evidence)]
    print(*verdicts, sep="\n")
    assert false_ones(verdicts) == []
    assert unjudged(verdicts) == []


def finding(result, name):
    """Return the finding of a result by its id."""
    return next(one for one in result["observations"] if one["id"] == name)


def text_of(page):
    """Return the text of a page without its tags."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", page)))


def test_the_default_page_of_smollm2(report, smollm2):
    result, page, trace = report(smollm2.folder, "-p", PROMPTS["capital"]["messages"][0]["content"])
    text = text_of(page)
    assert "The capital of Australia is Canberra." in text
    assert "ens readable in layers 28–29 of 30" in text
    assert "dotted: layers 0–23, further from the model's output than a uniform guess" in text
    skill = lens_skill(attentropy.open(trace))
    own = Evidence(smollm2, Case.of_trace(trace)).skill()
    np.testing.assert_allclose((skill.skill, skill.agreement), own, atol=1e-3)
    assert np.flatnonzero(own[0] <= 0).tolist() == list(range(24))
    assert not finding(result, "rehearsal")["found"]
    sinks = finding(result, "sinks")["text"]
    assert "“<|im_start|>” (position 0)" in sinks
    assert "“_the” (position 26) in layers 3–10" in sinks


@pytest.fixture
def embedded(report):
    """Return the default report of the embedded model, its page, and the evidence on it."""
    result, page, trace = report(embedded_folder(), "-p", DEFAULT_PROMPT)
    return result, page, Evidence(Model(embedded_folder()), Case.of_trace(trace))


def test_the_embedded_model_is_readable_and_rehearses(embedded):
    result, page, evidence = embedded
    skill, _ = evidence.skill()
    assert 0.88 < skill.min() < 0.89
    assert skill.max() == pytest.approx(1)
    text = text_of(page)
    assert "ens readable in all 8 layers" in text
    assert "dotted: layer" not in text
    assert "faded: layer" not in text
    assert finding(result, "rehearsal")["found"]
    assert false_ones(judge(result, evidence)) == []


def test_the_judge_knows_whether_a_rehearsal_was_tested(embedded, report):
    result, _, evidence = embedded
    untested = finding(result, "rehearsal") | {"text": "Rehearsal was not tested: no reason."}
    untested |= {"found": False, "layer": None, "position": None}
    changed = result | {"observations": [untested], "model_heads": []}
    assert judge(changed, evidence)[1].is_true is False
    result, _, trace = report(embedded_folder(), "-p", DEFAULT_PROMPT, "--no-reference", "--force")
    own = Evidence(evidence.model, Case.of_trace(trace))
    assert "was not tested" in finding(result, "rehearsal")["text"]
    assert judge(result, own)[1].is_true is True
    tested = finding(embedded[0], "rehearsal")
    assert judge(result | {"observations": [tested], "model_heads": []}, own)[1].is_true is False


def test_a_page_of_148_tokens_has_3_megabytes_without_pictures_of_heads(report, smollm2, tmp_path):
    words = (HERE.parents[1] / "LICENSE").read_text("utf-8").split()
    messages = next(
        messages
        for n in range(len(words))
        if len(smollm2.chat(messages := [{"role": "user", "content": " ".join(words[:n])}])) >= 148
    )
    prompt = ("-m", str(write_messages(tmp_path, messages)), "--force")
    result, page, _ = report(smollm2.folder, *prompt, "--no-thumbnails")
    assert 148 <= result["tokens"] <= 152
    assert len(page.encode()) == result["bytes"] <= 3_000_000
    # Pictures of 1,024 heads may add a megabyte.
    pictured, _, _ = report(smollm2.folder, *prompt)
    heads = 30 * 9
    assert result["bytes"] < pictured["bytes"] <= result["bytes"] + 1_000_000 * heads / 1024


WRONG = {
    "tested": [
        ("p = 0.9994)", "p = 0.8994)"),
        ("needs 1 of 7", "needs 2 of 7"),
        ("needs 1 of 7", "needs 1 of 9"),
        ("“Australia”", "“capital”"),
        ("p < 0.001 without", "p = 0.003 without"),
        ("0.99 to 0.9994", "0.89 to 0.9994"),
    ],
    "looked": [
        ("with 99.999 % of", "with 88 % of"),
        ("29 % do so", "49 % do so"),
        ("L0H3", "L0H2"),
        ("heads attend most to “Australia”", "heads attend most to “capital”"),
    ],
    "sure": [("probability 0.9994", "probability 0.8994"), ("0.01 nats", "0.21 nats")],
    "rehearsal": [
        ("gives 100 %", "gives 52 %"),
        ("“Canberra”", "“Sydney”"),
        ("(rank 1", "(rank 40"),
    ],
    "settled": [
        ("in every layer read", "from layer 2 onward"),
        ("0.56 in layer 0", "0.66 in layer 0"),
        ("settling layer is 0", "settling layer is 2"),
    ],
    "lens_layers": [("(1.25 nats)", "(1.35 nats)"), ("layer 0 (1.81", "layer 3 (1.81")],
    "heads": [("L5H1, 0.87", "L5H1, 0.77"), ("L5H1", "L5H2"), ("entropy 0.00", "entropy 0.10")],
    "range": [("is 0.45", "is 0.55"), ("layer 1 (0.22)", "layer 3 (0.22)")],
    "sinks": [
        ("No attention sink: ", "Attention sink: “_the” (position 9) in layers 3–5 with 4 %")
    ],
}


def test_the_judge_calls_a_wrong_number_token_or_head_false(embedded):
    result, _, evidence = embedded
    for name, changes in WRONG.items():
        right = finding(result, name)
        for old, new in changes:
            assert old in right["text"], right["text"]
            wrong = right | {"text": right["text"].replace(old, new)}
            verdict = judge(result | {"observations": [wrong], "model_heads": []}, evidence)[1]
            assert verdict.is_true is False, verdict
    assert judge(result | {"answer": "Sydney"}, evidence)[0].is_true is False


WRONG_ON_PAGE = {
    "Australia” (<": [
        ("Canberra” (0.9994)", "Canberra” (0.8994)"),
        ("(< 0.001 when", "(0.25 when"),
        ("rests on “Australia” (", "rests on “capital” ("),
        ("rests on “Australia” (< 0.001 when hidden)", "rests on no single part of the prompt "
         "that was tested"),
        ("(< 0.001 when hidden);", "(< 0.001 when hidden) and “What” (0.99);"),
        ("“Canberra” (0.9994) rests on “Australia” (< 0.001 when hidden)", "“Canberra” (0.9994) "
         "stands in more than one place: “Australia” and “What” (< 0.001 and 0.99 when one is "
         "hidden)"),
        ("“Canberra” (0.9994) rests on “Australia” (< 0.001 when hidden); “capital” acts through "
         "other tokens (0.09 when hidden from them too)",
         "“Canberra” (0.9994) rest on “capital” (0.99 when hidden)"),
        ("(0.09 when hidden from", "(0.39 when hidden from"),
        ("“capital” acts", "“Australia” acts"),
        ("hidden from them too)", "hidden from them too) (2 more decisive words tested)"),
    ],
    "template tokens": [
        ("(0.9989 without", "(0.89 without"),
        ("The template tokens are not needed for “Canberra” (0.9989 without them)",
         "“Canberra” also needs the template tokens (0.9989 without them)"),
        ("The template tokens are not needed for “Canberra” (0.9989 without them)",
         "The template tokens are used for “Canberra” (0.9989 without them), not for “Canberra” "
         "(0.9989)"),
        ("The template tokens are not needed for “Canberra” (0.9989 without them)",
         "“Canberra” comes from the weights: 0.9994 with every passage hidden"),
    ],
    "lens's top token": [
        ("(p = 0.56 in", "(p = 0.66 in"),
        ("in every layer read (p = 0.56 in layer 0)", "from layer 3 onward"),
        ("in every layer read", "in every layer read (p = 0.56 in layer 0), but the lens cannot be "
         "read there, so it cannot say when it settled"),
    ],
    "answer reads": [
        ("in layer 0", "in layer 4"), ("in layer 0", "in layers 0–4"),
        ("reads “Australia”", "reads “capital”"),
    ],
    "Tested": [
        ("7 parts", "12 parts"),
        ("Tested: 7 parts of the prompt, each hidden while the answer was read again",
         "3 parts are sinks, which cannot be hidden"),
        ("Tested: 7 parts of the prompt, each hidden while the answer was read again",
         "8 parts not tested"),
        ("Tested: 7 parts of the prompt, each hidden while the answer was read again",
         "What the answer rests on was not tested; “--test-sources auto” tests it"),
    ],
}  # fmt: skip


def test_the_judge_calls_a_wrong_sentence_of_the_page_false(embedded):
    _, page, evidence = embedded
    verdicts = judge_page(page, evidence)
    assert false_ones(verdicts) == []
    assert unjudged(verdicts) == []
    sentences = [text for name in ("evidence", "said-of") for text in page_sentences(page, name)]
    for start, changes in WRONG_ON_PAGE.items():
        right = next(one for one in sentences if start in one)
        for old, new in changes:
            assert old in right, right
            verdict = judge_sentence("evidence", right.replace(old, new), evidence, 1)
            assert verdict.is_true is False, verdict
    unknown = judge_sentence("evidence", "“Canberra” owes much to “Australia”", evidence)
    assert unjudged([unknown])

"""Judge the findings of a report by the model itself: each sentence is true, false or not judged.

    python tests/real/judge.py FINDINGS.json TRACE.zarr.zip MODEL [PAGE.html]

FINDINGS.json is what `attentropy report --json --save-trace TRACE` prints. Of the trace only the
tokens are read, with their roles, and which parts of the prompt were tested; everything else is
measured again (see `evidence`, `tested`), by the rules of docs/definitions.md. With a page, the
sentences that stand on it alone are judged too. Nothing of the project is imported.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from real import answer_checks, attention_checks, lens_checks, reference_checks, tested_checks
from real.evidence import Case, Evidence
from real.page_checks import judge_page
from real.reader import Model
from real.rules import decisive, read_rehearsal
from real.verdict import Verdict

CHECKS = {
    **answer_checks.CHECKS, **lens_checks.CHECKS, **attention_checks.CHECKS,
    **reference_checks.CHECKS, **tested_checks.CHECKS,
}  # fmt: skip


def judge(result: dict[str, Any], evidence: Evidence) -> list[Verdict]:
    """Return a verdict for each finding of a result, and for each line on the model's heads."""
    verdicts = [_judge_answer(result, evidence)]
    for finding in result["observations"]:
        check = CHECKS.get(finding["id"])
        verdict = check(finding, evidence) if check else None
        verdicts.append(verdict or Verdict(finding, None, "no rule for this sentence"))
    heads = [attention_checks.judge_heads(one, evidence) for one in result.get("model_heads", ())]
    return verdicts + heads


def _judge_answer(result: dict[str, Any], evidence: Evidence) -> Verdict:
    """Return whether the answer is what the model wrote."""
    written, own = str(result["answer"]), evidence.words.answer.strip()
    finding = {"id": "answer", "text": written}
    if not evidence.is_greedy():
        return Verdict(finding, False, "it is not the model's most likely answer")
    is_same = written.rstrip("…\ufffd").strip() == own.rstrip("\ufffd").strip()
    return Verdict(finding, is_same, f"the model wrote {own!r}")


def main(findings: Path, trace: Path, folder: Path, page: Path | None = None) -> int:
    """Print the verdicts and the facts behind them; return how many findings are false."""
    result = json.loads(findings.read_text("utf-8"))
    evidence = Evidence(Model(folder), Case.of_trace(trace))
    for line in facts(evidence):
        print(line)
    verdicts = judge(result, evidence)
    if page is not None:
        verdicts += judge_page(page.read_text("utf-8"), evidence)
    print(*verdicts, sep="\n")
    return sum(verdict.is_true is False for verdict in verdicts)


def facts(evidence: Evidence) -> list[str]:
    """Return what the judge measured, in lines."""
    skill, agreement = evidence.skill()
    decode = evidence.model.tokenizer.decode
    sinks = [f"{key} {decode([evidence.case.ids[key]])!r}" for key in evidence.sinks()]
    best = sorted(read_rehearsal(evidence).cells, key=lambda cell: -cell.probability)
    return [
        f"answer    {evidence.words.answer!r}, decisive {decode([decisive(evidence)[1]])!r}",
        "skill     " + " ".join(f"{one:.2f}" for one in skill),
        "agreement " + " ".join(f"{one:.2f}" for one in agreement),
        f"sinks     {', '.join(sinks) or 'none'}",
        f"rehearsal {best[:3]}",
    ]


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    sys.exit(min(main(*map(Path, sys.argv[1:])), 1))

"""Whether the two traces of a comparison were read with the same lens translator."""

from __future__ import annotations

from typing import Any

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.findings.finding import Observation, quoted


def observe_translators(difference: Difference) -> Observation | None:
    """Return that A and B used different translators, or one of them none; None where they agree.

    A translated lens is a second one besides the plain lens, which is the one compared wherever
    both traces have it.
    """
    a, b = (_translator(trace) for trace in difference.traces)
    if a.get("sha256") == b.get("sha256"):
        return None
    if a and b:
        text = f"The lens translators differ: {_name(a)} in A, {_name(b)} in B"
    elif a:
        text = f"A was also read with the lens translator {_name(a)}, B without one"
    else:
        text = f"B was also read with the lens translator {_name(b)}, A without one"
    if "lens_entropy" in difference:
        is_translated = difference.site == "translated"
        text += (
            "; lens values are compared all the same" if is_translated
            else "; what is compared is the plain lens"
        )  # fmt: skip
    return Observation("translators", f"{text}.", "lens translator", unit="")


def _translator(trace: Trace) -> dict[str, Any]:
    """Return what a trace says of its translator, nothing where it was read without one."""
    options = trace.attrs.get("options")
    facts = options.get("lens_translator") if isinstance(options, dict) else None
    return facts if isinstance(facts, dict) else {}


def _name(translator: dict[str, Any]) -> str:
    """Return the file's name and the start of its hash, which tells files of one name apart."""
    return f"{quoted(str(translator.get('file')), 40)} ({str(translator.get('sha256'))[:8]})"

"""What a picture is made from: the model, its revision, the prompt, and the version."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from attentropy.engine.trace.dataset import Trace
from attentropy.report.compare.difference import Difference
from attentropy.report.units import count


def origin(trace: Trace) -> str:
    """Return model and prompt of a trace, or of both sides of a difference, and the version."""
    if isinstance(trace, Difference):
        return f"{sides(trace)} {version_sentence()}"
    prompt = count(trace.prompt_tokens, "token")
    return f"Model: {model_name(trace)}, over a prompt of {prompt}. {version_sentence()}"


def sides(difference: Difference) -> str:
    """Return which two traces are compared."""
    return " ".join(
        f"{side}: {name[:200]}, {model_name(trace)} over {count(trace.prompt_tokens, 'token')}."
        for side, name, trace in zip("AB", difference.names, difference.traces, strict=True)
    )


def model_name(trace: Trace) -> str:
    """Return the name of the model, and its revision if that is recorded."""
    model: Any = trace.attrs.get("model")
    model = model if isinstance(model, dict) else {}
    revision = model.get("revision")
    suffix = f" ({str(revision)[:12]})" if revision else ""
    return f"{str(model.get('name', 'a model'))[:200]}{suffix}"


def version_sentence() -> str:
    """Return by which version a picture is made."""
    try:
        return f"Made with attentropy {version('attentropy')}."
    except PackageNotFoundError:
        return "Made with attentropy."

"""The texts of the page of a difference: what is compared, its tokens, both provenances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.readable import is_redacted
from attentropy.report.compare.difference import ONLY_A, ONLY_B, Difference
from attentropy.report.content.captions import split_sentence
from attentropy.report.content.heading import heading
from attentropy.report.content.origin import origin
from attentropy.report.content.running_text import SHADES, deepest_layer
from attentropy.report.content.trace_words import package_version, progress_banner
from attentropy.report.content.words import (
    DifferenceWords,
    LayerMeans,
    MeansByLayer,
    ProvenanceEntry,
    SideWords,
    TokenWord,
)
from attentropy.report.findings.side_means import Means, by_layer
from attentropy.report.read.answer_words import is_chat, read_answer
from attentropy.report.read.readability import readability
from attentropy.report.read.top_keys import leaves_sinks_out
from attentropy.report.read.views import SCALE_PERCENTILE, View
from attentropy.report.text import for_prompt, for_sentence, mark_whitespace
from attentropy.report.units import count, signed

_MOST_TOKENS, _HEAD, _TAIL = 3000, 200, 800  # of more columns only head and tail are written
_ALONE = {ONLY_A: "only in A", ONLY_B: "only in B"}
_MOST_NAME, _MOST_VALUE = 60, 300  # letters of a provenance entry
_HEADINGS = {
    (True, True): "Two runs of one model on one prompt",
    (True, False): "One model on two prompts",
    (False, True): "Two models on one prompt",
    (False, False): "Two models on two prompts",
}  # by whether the model and the prompt are the same


def difference_words(difference: Difference, view: View, rows: Sequence[str]) -> DifferenceWords:
    """Return the page's texts; `view` is the one that opens, `rows` the names of its layers."""
    kinds = _HEADINGS[_is_same(difference, "model"), _is_same(difference, "prompt")]
    title, below = heading(difference)
    kind = "logit-lens entropy" if view.name == "lens" else "attention entropy"
    deepest = deepest_layer(view)
    a, b = (for_sentence(name) for name in difference.names)
    return DifferenceWords(
        version=package_version(),
        title=f"attentropy: {b} − {a}",
        heading=title,
        evidence=below,
        subtitle=f"{kinds}: {_subtitle(difference, rows)}",
        shade_note=f"Colour: B − A of {kind} after layer {rows[deepest]}, {view.scale.words()}.",
        figure_title="B − A by layer and position",
        description=(
            f"Heatmap of the difference B − A of {kind}, {count(len(rows), 'layer')} by "
            f"{count(difference.kind.size, 'column')}, zero in the middle of the scale. The "
            "findings say what it shows."
        ),
        headline=None,
        partial=progress_banner(difference),
        origin=for_sentence(origin(difference), 1000),
        sides=[_side(difference, side) for side in (0, 1)],
        columns=_tokens(difference, view, deepest),
        absent=_absent(difference),
        has_reasoning=bool((difference["role"] == "reasoning").any()),
        by_layer=_means_by_layer(difference, rows),
        both_provenances=list(_provenances(difference)),
    )


def _subtitle(difference: Difference, rows: Sequence[str]) -> str:
    """Return how the two were aligned, and how many tokens are on both sides or on one."""
    both = int(difference.both.sum())
    how = "token text (the tokenizers' ids differ)" if difference.by_text else "token ids"
    gaps = "".join(
        f", {int((difference.kind == side).sum()):,} {name}" for side, name in _ALONE.items()
    )
    redaction = "; texts were replaced by numbers, roles and lengths"
    return (
        f"B − A in nats, aligned by {how}: {count(both, 'token')} in both{gaps}; "
        f"{count(len(rows), 'layer')}"
        f"{redaction if is_redacted(difference.a) else ''}"
    )


def difference_captions(views: Sequence[View]) -> dict[str, str]:
    """Return the caption of each view, with {colours} for `filled_caption`."""
    besides = " besides sink keys" if any(leaves_sinks_out(view.trace) for view in views) else ""
    cells = {
        "lens": "Cells show the lens's top token in A → in B",
        "attention": f"Cells show the most attended token{besides} in A → in B",
    }
    kinds = {
        "lens": "logit-lens entropy",
        "attention": "attention entropy (mean over heads, one head, or all heads of one layer)",
    }
    return {
        view.name: (
            f"B − A of {kinds[view.name]}: {{colours}}. {_ends(view)} Hatched: missing, or a "
            "token that only one side has. Top: every column; the purple frame is magnified "
            f"below. {cells[view.name]} (or A above B); one token if both are the same. Green: "
            f"the selected column magnified.{{readable}}{{box}}{split_sentence(view.trace)}"
        )
        for view in views
    }


def _ends(view: View) -> str:
    """Return where the scale ends, and the largest difference."""
    sizes = np.abs(view.values[np.isfinite(view.values)])
    largest = float(sizes.max()) if sizes.size else 0.0
    if largest == 0:
        return "A and B are the same everywhere."
    end = f"{view.scale.high:g} nats"
    if view.scale.fitted:
        end = f"the {SCALE_PERCENTILE:g}th percentile of |B − A|"
    return f"The scale ends at {end}; the largest is {largest:.2f} nats."


def _is_same(difference: Difference, name: str) -> bool:
    """Return whether both sides record the same under `name`."""
    one, other = (trace.attrs.get(name) for trace in difference.traces)
    return bool(one == other)


def _side(difference: Difference, side: int) -> SideWords:
    """Return what one side is."""
    trace: Trace = difference.traces[side]
    model = trace.attrs.get("model")
    model = model if isinstance(model, dict) else {}
    answer = read_answer(trace)
    values = [model.get(name) for name in ("name", "revision", "quantization", "dtype")]
    return SideWords(
        letter="AB"[side],
        name=for_sentence(difference.names[side]),
        model=", ".join(for_sentence(str(value), 200) for value in values if value is not None),
        tokens=count(trace.prompt_tokens, "token"),
        says="answer" if is_chat(trace) else "continues with",
        answer="" if answer is None else for_prompt(answer.shown if answer.text else ""),
    )


def _tokens(difference: Difference, view: View, deepest: int) -> list[TokenWord]:
    """Return every column as a token; of many columns the first and the last ones."""
    n = difference.kind.size
    shown = range(n) if n <= _MOST_TOKENS else [*range(_HEAD), *range(n - _TAIL, n)]
    change, sides = view.values[deepest], difference.sides[view.name][:, deepest]
    shades = view.scale.at(change)
    texts, roles = difference["token_text"], difference["role"]
    words = []
    for column in shown:
        kind, text = int(difference.kind[column]), str(texts[column])
        places = [
            f"{name} {int(at[column]):,}: {_nats(values[column])}"
            for name, at, values in zip(
                "AB", (difference.at_a, difference.at_b), sides, strict=True
            )
            if at[column] >= 0
        ]
        is_measured = np.isfinite(change[column])
        changes = [f"B − A = {signed(change[column], 3)} nats"] if is_measured else []
        words.append(
            TokenWord(
                text=for_prompt(text) if text.strip() else mark_whitespace(text),
                role=str(roles[column]),
                shade=f"s{min(SHADES - 1, int(shades[column] * SHADES))}"
                if is_measured
                else "missing",
                title="; ".join([*([_ALONE[kind]] if kind else []), *places, *changes]),
                side=("", "del", "ins")[kind],
            )
        )
    if n > _MOST_TOKENS:
        folded = f"… {count(n - _HEAD - _TAIL, 'token')} not shown …"
        words.insert(_HEAD, TokenWord(text=folded, role="folded", shade="", title=folded))
    return words


def _nats(value: float) -> str:
    """Return an entropy with its unit."""
    return f"{value:.2f} nats" if np.isfinite(value) else "missing"


def _absent(difference: Difference) -> str:
    """Return which view one side alone has; empty for none."""
    variables = {"lens": "lens_entropy", "attention": "entropy"}
    alone = [
        f"{view} (only {'A' if name in difference.a else 'B'} has it)"
        for view, name in variables.items()
        if view not in difference.sides and (name in difference.a or name in difference.b)
    ]
    return f"Not compared: {'; '.join(alone)}." if alone else ""


def _means_by_layer(difference: Difference, rows: Sequence[str]) -> MeansByLayer:
    """Return means of each layer over the positions of both: A, B and B − A of every view."""
    means = {view: by_layer(difference, view) for view in difference.sides}
    n = ", ".join(f"{count(int(m.n.max()), 'position')} ({view})" for view, m in means.items())
    lens = readability(difference, difference.site) if "lens" in means else None
    if lens is not None:
        a, b = lens.sides
        means["lens skill"] = Means(a.skill, b.skill, np.array([lens.positions]))
        n += f". Lens skill: over {a.positions:,} positions of A and {b.positions:,} of B"
    return MeansByLayer(
        views=list(means),
        n=n,
        rows=[
            LayerMeans(
                label,
                [(_number(m.a[i]), _number(m.b[i]), _change(m.change[i])) for m in means.values()],
            )
            for i, label in reversed(list(enumerate(rows)))
        ],
    )


def _number(value: float) -> str:
    """Return a value with three decimals."""
    return f"{value:.3f}" if np.isfinite(value) else "missing"


def _change(value: float) -> str:
    """Return a difference with three decimals and its sign."""
    return signed(value, 3) if np.isfinite(value) else "missing"


def _provenances(difference: Difference) -> Iterator[ProvenanceEntry]:
    """Yield what the traces record of their making, entry by entry, and whether both agree."""
    sides = [
        {"file": name} | dict(_entries(dict(t.attrs)))
        for name, t in zip(difference.names, difference.traces, strict=True)
    ]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        values = [side.get(name, "not recorded") for side in sides]
        yield ProvenanceEntry(
            for_sentence(name, _MOST_NAME),
            [for_sentence(value, _MOST_VALUE) for value in values],
            values[0] != values[1],
        )


def _entries(attrs: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the entries of one provenance, as names and values."""
    for section in ("model", "tokenizer", "prompt", "answer", "implementation", "versions",
                    "options", "notes"):  # fmt: skip
        value = attrs.get(section)
        if isinstance(value, dict):
            for key, item in value.items():
                if item is not None:
                    yield f"{section}: {key}", str(item)
        elif isinstance(value, list):
            yield section, "; ".join(str(item) for item in value) or "none"
        elif value is not None:
            yield section, str(value)

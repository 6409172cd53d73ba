"""Reading a trace, or a difference, into a report."""

from __future__ import annotations

from collections.abc import Sequence

from altair.utils.schemapi import debug_mode

from attentropy.engine.trace.dataset import Trace
from attentropy.report import planes
from attentropy.report.compare.difference import Difference
from attentropy.report.content.captions import filled_caption
from attentropy.report.content.charts import opening_charts
from attentropy.report.content.context_words import context_words
from attentropy.report.content.finding_line import finding_line
from attentropy.report.content.hidden_words import count_columns, hidden_words, main_word
from attentropy.report.content.profile_words import read_profile
from attentropy.report.content.readable_lens import readable_lenses
from attentropy.report.content.rehearsed import rehearsal_lines
from attentropy.report.content.report import AttentionParts, Axes, HeadGrid, Report, ReportView
from attentropy.report.content.subject import Subject, subject_of
from attentropy.report.content.words import TraceWords
from attentropy.report.figures import tilemap_data as openingmap
from attentropy.report.figures.placement import Placement, place
from attentropy.report.figures.sizes import narrow, wide
from attentropy.report.findings.finding import Observation
from attentropy.report.findings.head_roles import KINDS, head_columns, head_roles
from attentropy.report.findings.highlights import absent, highlights
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read import plane_statistics as statistics
from attentropy.report.read import views
from attentropy.report.read.attention_layers import recorded_heads
from attentropy.report.read.cells import answer_token
from attentropy.report.read.maps import has_map, score_names, window_names
from attentropy.report.read.opening_map import opening_map
from attentropy.report.read.positions import Range
from attentropy.report.read.ranges import RangesByView
from attentropy.report.read.sources import read_sources
from attentropy.report.read.top_keys import hidden_keys, leaves_sinks_out
from attentropy.report.read.views import View
from attentropy.report.read.visible import is_causal, run_progress, visible_keys
from attentropy.report.text import for_sentence

_KIND_LABELS = {
    "word": "→ a word", "previous": "previous token", "source": "→ a source, where it is read",
    "seen": "→ a word, to no effect", "open": "→ a word, not tested there",
}  # fmt: skip


@debug_mode(False)  # charts are validated when they are written, not once more in each part
def read_report(
    trace: Trace,
    observations: Sequence[Observation],
    *,
    attention: planes.AttentionPlanes | None = None,
    sections: Sequence[Range] = (),
    ranges: RangesByView | None = None,
) -> Report:
    """Read everything that a page shows of a trace, or of the difference of two.

    `observations` are its findings. The figure opens on the first of `sections`, and the page holds
    all of them one position at a time. With `attention` the entropies of all heads are not read
    again. `ranges` fixes the ends of the views' scales; by default nothing is cut.

    Raises `TraceError` for a trace that holds neither attention nor lens entropies.
    """
    names = views.view_names(trace)
    attention = attention or planes.read_attention(trace)
    ranges = ranges or {}
    shown = [views.read_view(trace, name, attention, ranges.get(name)) for name in names]
    subject = subject_of(trace)
    axes = _axes(trace, subject)
    rows = axes.layers
    hidden = hidden_words(trace, rows)
    columns = count_columns(hidden)
    sizes = {
        "wide": wide(len(rows), axes.positions, columns),
        "narrow": narrow(len(rows), axes.positions),
    }
    opened = [view if ranges.get(view.name) else views.fitted(view) for view in shown]
    opening = sections[0] if sections else None
    placed = {width: place(trace, size.columns, opening) for width, size in sizes.items()}
    first = placed["wide"]
    profile = read_profile(trace)
    words = subject.words(first, opened, rows)
    is_long = isinstance(words, TraceWords) and words.text.is_long
    return Report(
        template=subject.template,
        words=words,
        axes=axes,
        views=_views(trace, subject, shown, opened, first),
        sizes=sizes,
        section_columns={w: subject.section_columns(s.columns) for w, s in sizes.items()},
        placement=first,
        is_section_chosen=opening is not None,
        readable=readable_lenses(trace, rows, sizes),
        rehearsals=rehearsal_lines(trace),
        findings=tuple(observations),
        highlights=tuple(finding_line(i, observations[i]) for i in highlights(observations)),
        absent=tuple(finding_line(i, observations[i]) for i in absent(observations)),
        sections=subject.sections(
            observations, attention, shown, rows, (first.start, first.stop),
            profile.tables if profile else (),
        ),
        charts=opening_charts(
            trace, shown, attention, rows, sizes, placed, opened[0], is_long,
            main_word(trace, hidden),
        ),
        attention=_attention_parts(trace),
        profile=profile,
        context=context_words(trace),
        sources=read_sources(trace),
        hidden_words=hidden,
        values=ValueSource(trace, shown, attention, sections, subject.sides),
    )  # fmt: skip


def _axes(trace: Trace, subject: Subject) -> Axes:
    """Read what the figure's rows and columns are."""
    rows = tuple(str(int(layer)) for layer in trace["layer"])
    notes = trace["attention_note"] if "attention_note" in trace else [""] * len(rows)
    heads = tuple(int(head) for head in trace["head"]) if "head" in trace else ()
    return Axes(
        positions=trace.dataset.sizes["position"],
        prompt=trace.prompt_tokens,
        layers=rows,
        heads=heads,
        head_counts=tuple(len(recorded_heads(trace, i)) for i in range(len(rows))),
        attention_notes=tuple(for_sentence(str(note), 300) for note in notes),
        visible=visible_keys(trace),
        side_visible=subject.side_visible(),
        is_causal=is_causal(trace),
        sites=tuple(statistics.lens_sites(trace)),
        progress=run_progress(trace),
        answer_token=answer_token(trace),
    )


def _views(
    trace: Trace, subject: Subject, shown: Sequence[View], opened: Sequence[View], placed: Placement
) -> tuple[ReportView, ...]:
    """Return the views with their captions and statistics; `opened` are on the scales that open."""
    captions = subject.captions(placed, shown)
    return tuple(
        ReportView(
            name=view.name,
            title=view.title,
            what=view.what,
            scale=view.scale,
            fit=views.closest_scale(view),
            opens_fitted=own.scale != view.scale,
            step=view.step,
            statistics=tuple(statistics.offered_statistics(trace, view)),
            caption=filled_caption(captions[view.name], own, placed),
            caption_template=captions[view.name],
        )
        for view, own in zip(shown, opened, strict=True)
    )


def _weighed_sinks(trace: Trace) -> tuple[list[int], ...]:
    """Return the sink keys of each layer that an exact window has."""
    weighed = {int(key) for name in window_names(trace) for key in trace[f"window_key{name[6:]}"]}
    layers = range(trace.dataset.sizes["layer"])
    return tuple([key for key in hidden_keys(trace, i) if key in weighed] for i in layers)


def _head_grid(trace: Trace) -> HeadGrid:
    """Read which heads the grid of all heads shows, and how many of them are of each kind."""
    heads = head_columns(trace)
    if not heads:
        return HeadGrid()
    roles = head_roles(trace)
    kinds = [(kind, int((roles.kinds == i).sum())) for i, kind in enumerate(KINDS) if kind]
    is_pictured = "thumbnail" in trace
    total = sum(len(recorded_heads(trace, i)) for i in range(trace.dataset.sizes["layer"]))
    others = total - sum(number for _, number in kinds)
    if others < total:
        kinds.append(("other", others))
    return HeadGrid(
        heads,
        count=total,
        kinds=tuple(
            (kind, _KIND_LABELS.get(kind, kind), number) for kind, number in kinds if number
        ),
        where=roles.where,
        is_pictured=is_pictured,
    )


def _attention_parts(trace: Trace) -> AttentionParts:
    """Read which parts of attention the trace has besides entropy."""
    map_heads: tuple[int, ...] = ()
    region: tuple[Range, Range] | None = None
    if has_map(trace):
        state = openingmap.first_state(trace)
        map_heads = tuple(int(head) for head in trace["map_head"])
        region = (state["q0"], state["q1"]), (state["k0"], state["k1"])
    opens = opening_map(trace)
    return AttentionParts(
        map_heads=map_heads,
        map_layer=opens.entry,
        map_head=opens.head,
        map_head_words="mean over heads" if opens.number < 0 else f"head {opens.number}",
        map_region=region,
        hides_sinks=leaves_sinks_out(trace),
        sink_keys=_weighed_sinks(trace),
        is_window_per_head="window" in trace and "window_entropy" not in trace,
        scores=() if isinstance(trace, Difference) else tuple(score_names(trace)),
        grid=_head_grid(trace),
    )

"""The report: everything that a page shows of a trace, or of the difference of two.

`read_report` makes it; whatever draws a page draws it from this object and returns to no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from attentropy.report.content.context_words import ContextWords
from attentropy.report.content.finding_line import FindingLine
from attentropy.report.content.profile_words import Chart, ProfileWords
from attentropy.report.content.readable_lens import ReadableLens
from attentropy.report.content.sections import Section
from attentropy.report.content.words import Words
from attentropy.report.figures.hidden_sources import HiddenWord
from attentropy.report.figures.placement import Placement
from attentropy.report.figures.sizes import Size
from attentropy.report.findings.finding import Observation
from attentropy.report.pack.value_source import ValueSource
from attentropy.report.read.plane_statistics import PlaneStatistic
from attentropy.report.read.positions import Range
from attentropy.report.read.tested_words import Sources
from attentropy.report.read.visible import RunProgress, VisibleLines
from attentropy.report.scale import Scale

ChartsByWidth = Mapping[str, Chart]  # "wide", for a screen, and "narrow", for a telephone


@dataclass(frozen=True)
class Axes:
    """The figure's rows and columns, of which the first `prompt` are the prompt's.

    `layers` and `heads` are the numbers that the model gives them; `head_counts` says how many
    heads each layer has, `attention_notes` why a layer has no attention. `visible` gives the keys
    that the queries of each layer see, `side_visible` those of A and of B in a difference. `sites`
    are the lens's, the first one opens. `progress` is that of an unfinished run. `answer_token` is
    the first token of the answer's decisive word, folded; "" where there is none.
    """

    positions: int
    prompt: int
    layers: tuple[str, ...]
    heads: tuple[int, ...]
    head_counts: tuple[int, ...]
    attention_notes: tuple[str, ...]
    visible: VisibleLines | None
    side_visible: tuple[VisibleLines | None, ...]
    is_causal: bool
    sites: tuple[str, ...]
    progress: RunProgress | None
    answer_token: str


@dataclass(frozen=True)
class ReportView:
    """A view of the figure: its scale, its words, and the statistics that it can show.

    `scale` is the whole one, `fit` the one fitted to the values shown, None where that is the same;
    `opens_fitted`: whether the page opens on it. `step` positions share a column of the overview.
    `caption` is that of what opens; the script fills `caption_template` when the reader chooses
    another statistic.
    """

    name: str
    title: str
    what: str
    scale: Scale
    fit: Scale | None
    opens_fitted: bool
    step: int
    statistics: tuple[PlaneStatistic, ...]
    caption: str
    caption_template: str


@dataclass(frozen=True)
class HeadGrid:
    """The grid of all heads: the numbers of its columns, empty where the page has none.

    `count`: how many heads it has; `kinds`: how many of each kind, as (kind, label, number);
    `where` names the row whose words the labels have. `is_pictured`: whether cells are pictures.
    """

    heads: tuple[int, ...] = ()
    count: int = 0
    kinds: tuple[tuple[str, str, int], ...] = ()
    where: str = ""
    is_pictured: bool = False


@dataclass(frozen=True)
class AttentionParts:
    """Facts about the map, the exact windows and the heads, as far as the trace has them.

    `hides_sinks`: whether cells leave sink keys out; `sink_keys`: which, by layer, of those that
    have exact weights. `map_layer` and `map_head` (an index, −1 for the mean) say what the map
    opens with, `map_head_words` names that head, and `map_region` is its part, (queries, keys).
    `scores` are the names of the heads' scores, and `grid` is the grid of all heads.
    """

    map_heads: tuple[int, ...]
    map_layer: int
    map_head: int
    map_head_words: str
    map_region: tuple[Range, Range] | None
    hides_sinks: bool
    sink_keys: tuple[list[int], ...]
    is_window_per_head: bool
    scores: tuple[str, ...]
    grid: HeadGrid


@dataclass(frozen=True)
class Report:
    """Everything that a page shows.

    `template` lays it out. `views` are those of the figure, the first one opens; `sizes` and
    `section_columns` say by width how large the figure is and how many columns its section has;
    `placement` says where section, inset and box are on a screen, `is_section_chosen` whether the
    caller named the section, `readable` by site how far the
    lens can be read, `rehearsals` what a tooltip says of the answer's tokens, by position and
    layer. `findings` are all of them, `highlights` those of the first screen, `absent` those that
    were looked for and not found; the others stand in `sections`. `charts` are by name what the
    page opens with. `context` says how far back heads attend and `sources` what the answer rests
    on, each None where that was not measured; `hidden_words` has the figure's columns of hidden
    sources by word. `values` are the one part
    that is not read yet: which of them a page holds depends on the bytes that all the rest leaves.
    """

    template: str
    words: Words
    axes: Axes
    views: tuple[ReportView, ...]
    sizes: Mapping[str, Size]
    section_columns: Mapping[str, int]
    placement: Placement
    is_section_chosen: bool
    readable: Mapping[str, ReadableLens]
    rehearsals: Mapping[str, Mapping[str, str]]
    findings: tuple[Observation, ...]
    highlights: tuple[FindingLine, ...]
    absent: tuple[FindingLine, ...]
    sections: Mapping[str, Section]
    charts: Mapping[str, ChartsByWidth]
    attention: AttentionParts
    profile: ProfileWords | None
    context: ContextWords | None
    sources: Sources | None
    hidden_words: Mapping[int, HiddenWord]
    values: ValueSource

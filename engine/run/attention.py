"""What a run keeps of attention: all that its options name, or nothing, where there may be none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attentropy.engine.attention.plan import AttentionPlan, plan_attention, plan_no_attention
from attentropy.engine.attention.probe import difference, outputs, run_own
from attentropy.engine.attention.selfcheck import check_model
from attentropy.engine.errors import NoAttention, UsageError
from attentropy.engine.maps.hidden_sinks import HiddenSinks
from attentropy.engine.maps.plan import plan_no_sweeps, plan_sweeps
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.run.options import Options
from attentropy.engine.run.probe import RunProbe
from attentropy.engine.trace.sink_keys import may_be_sinks
from attentropy.engine.trace.statistics import TOKEN_LOGPROB, WITHOUT_SINKS


def check_attention(probe: RunProbe, options: Options) -> bool:
    """Check the probe's model, and return whether no token sees those after it.

    Without statistics of attention there may be none that can be recorded. Raises as
    `RunProbe.check` does.
    """
    try:
        probe.check()
    except NoAttention:
        if options.stats:
            raise
        return _reads_forwards(probe)
    return check_model(probe.model).is_causal


def _reads_forwards(probe: RunProbe) -> bool:
    """Return whether a text's outputs stay the same when more text follows it."""
    model, ids = probe.model, probe.passes.ids
    beginning = ids.shape[1] // 2
    if not beginning:
        return True
    alone = outputs(run_own(model, ids[:, :beginning]))
    followed = outputs(probe.passes.own)[:, :beginning]
    return difference(followed, alone, model.dtype) is None


def plan_recording(
    loaded: LoadedModel, text: Prompt, options: Options, room: int, notes: list[str]
) -> tuple[AttentionPlan, Sweeps, dict[str, Any]]:
    """Return what is kept of attention and of its weights, with the options that name these."""
    tokens = len(text.ids)
    if not options.stats:
        if options.thumbnails:
            raise UsageError('`thumbnails` shows weights of attention; leave out `stats="none"`')
        if options.context:
            raise UsageError('`context` sums weights of attention; leave out `stats="none"`')
        if options.windows:
            raise UsageError('`windows` has weights of attention; leave out `stats="none"`')
        notes.append('attention was not recorded (`stats="none"`)')
        attention_plan = plan_no_attention(loaded.model, tokens + room)
        return attention_plan, *plan_no_sweeps(len(attention_plan.entries), tokens)
    attention_plan, remarks = plan_attention(
        loaded.model, tokens + room, options.stats, options.layers, options.heads
    )
    notes += remarks
    names = WITHOUT_SINKS if "top_key" in attention_plan.names else ()
    hidden = HiddenSinks(len(attention_plan.entries), may_be_sinks(text.tokens, text.roles), names)
    sweeps, sweep_options = plan_sweeps(
        loaded, tokens, recorded=attention_plan.layers, tile=options.map_tile,
        map_heads=options.map_heads, windows=options.windows, scores=options.scores, notes=notes,
        answer=room > 0, sinks=hidden, thumbnails=options.thumbnails,
        kept_heads=attention_plan.heads, context=options.context,
    )  # fmt: skip
    if sweeps.sinks is not None:
        attention_plan = replace(attention_plan, derived=sweeps.sinks.names)
    return attention_plan, sweeps, sweep_options


def both_ways(loaded: LoadedModel) -> str:
    """Return what a reader has to know of a masked LM's trace."""
    return (
        f"{type(loaded.model).__name__} is a masked language model: its tokens also see those "
        "after them, and its head predicts the token at each position itself. So there is no "
        f"answer, no next-token target, no rehearsal and no {TOKEN_LOGPROB}"
    )

"""Extract a trace from a model and a prompt, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from attentropy.engine import demo
from attentropy.engine.arguments import Names, Selection
from attentropy.engine.errors import AttentropyError, UsageError
from attentropy.engine.model.config import config_facts
from attentropy.engine.model.sandbox import one_child
from attentropy.engine.prompt.placebo import Placebos, placebo_prompts
from attentropy.engine.prompt.prepare import PromptLike, prepare
from attentropy.engine.prompt.turns import message_roles
from attentropy.engine.run.answer import (
    answer_arrays,
    answer_facts,
    parts_of_answer,
    vocabulary_arrays,
    with_answer,
)
from attentropy.engine.run.job import Job
from attentropy.engine.run.opening import check_length, open_model
from attentropy.engine.run.options import Options, Progress
from attentropy.engine.run.placebo import read_placebos, sought
from attentropy.engine.run.plan import plan_run
from attentropy.engine.run.resuming import open_partial
from attentropy.engine.run.source_run import SourceRun, plan_sources, test_run
from attentropy.engine.trace.dataset import Trace
from attentropy.engine.trace.partial import PartialTrace
from attentropy.engine.trace.segments import segment_names
from attentropy.engine.trace.statistics import KEPT_STATS
from attentropy.engine.translator.file import TranslatorLike

# A trace without an output goes to a disk from so many bytes on.
SCRATCH_BYTES = 256 * 2**20


def extract(
    model: str | Path | nn.Module | None = None,
    prompt: PromptLike | None = None,
    *,
    tokenizer: Any = None,
    chat_template: bool = True,
    system: str | None = None,
    question: str | None = None,
    tools: Sequence[Any] | None = None,
    template_args: Mapping[str, Any] | None = None,
    segments: Mapping[str, Any] | None = None,
    revision: str | None = None,
    dtype: Any = None,
    device: Any = None,
    quantize: str | None = None,
    max_new_tokens: int = 32,
    temperature: float | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    top_k: int = 5,
    stats: Names = KEPT_STATS,
    layers: Selection = None,
    heads: Selection = "all",
    lens: Names = "residual",
    lens_layers: Selection = None,
    lens_positions: Selection = None,
    lens_translator: TranslatorLike | None = None,
    map_tile: str | int | tuple[int, int] = "auto",
    map_heads: str = "mean",
    windows: Any = (),
    scores: bool = True,
    thumbnails: bool | None = None,
    context: bool = False,
    reference: bool = True,
    test_sources: str | bool | Mapping[str, Any] | None = None,
    target: str | None = None,
    versus: str | None = None,
    how: str = "hide",
    budget: float | None = None,
    storage: str = "float32",
    chunk: int | str | None = None,
    memory: int | str | None = None,
    output: str | Path | None = None,
    scratch: str | Path | None = None,
    force: bool = False,
    resume: bool = False,
    keep_cache: bool = False,
    progress: Progress | None = None,
) -> Trace:
    """Run a model over a prompt and return its entropies, in nats.

    Layers, heads and positions (`layers`, `heads`, `lens_layers`, `lens_positions`) are chosen by
    Python values or by the text of the command line: 3, [0, 5], range(8), slice(-4, None), an
    array of numbers, "0,5,10:", or "all".

    Args:
        model: A hub id, a local folder, or a transformers model that is loaded already (with its
            `tokenizer`), also compiled or with adapters of peft; None for the embedded model.
        prompt: A text (the user's turn if the model has a chat template), chat messages as
            transformers takes them, token ids (a list, or an array or tensor [N] or [1, N]), or
            what a tokenizer returned for one text; None for the embedded model's question.
        tokenizer: The tokenizer of a loaded model.
        chat_template: Whether a text goes through the chat template.
        system: A system turn before the prompt.
        question: A question about the prompt, which is then a document: both are one user turn,
            the document, a blank line, the question. The tokens of each carry its name as their
            `segment`.
        tools: Tools for the chat template, as transformers takes them: JSON schemas or functions.
        template_args: Other arguments for the chat template, such as {"enable_thinking": False}
            or {"documents": [...]}.
        segments: Names of parts of the prompt, for `trace.by("segment")`: {"name": [start, stop]}
            in characters of the messages' words, or {"name": "its words"}.
        revision: Branch, tag or commit of a hub model.
        dtype: Weight dtype, "float32", "bfloat16", "float16" or the torch.dtype; by default the
            checkpoint's own (float32 on a CPU).
        device: "cpu", "cuda", "cuda:1" or a torch.device; "auto" spreads the layers over all
            devices. By default CUDA if there is any.
        quantize: "4bit" or "8bit" weights (bitsandbytes).
        max_new_tokens: Maximum length of the answer, whose tokens follow the prompt's in the trace
            (role "generated", or "reasoning" between a template's markers). 2000 leaves room for a
            chain of thought; the answer stops at the end of the turn. `rehearsal` is measured from
            the answer without its reasoning.
        temperature: Sample the answer at this temperature; by default (and at 0) it is greedy.
        top_p: When sampling, choose among the fewest tokens that together have this probability.
        seed: Seed of the sampling; the same seed gives the same answer.
        top_k: Number of most likely tokens that the lens records per cell.
        stats: Attention statistics to record besides entropy: "max_prob", "distance", …, several of
            them ("max_prob,lse" or a list), or "all"; "none" for the lens alone.
        layers: Layers whose attention is recorded; by default all.
        heads: Heads whose attention is recorded: "all", a selection, or "mean" for the mean over
            heads.
        lens: Where the logit lens reads each layer: "residual", "attention", "mlp", several of
            them, "all", or "none" (also ()).
        lens_layers: Layers that the lens reads; by default all.
        lens_positions: Positions of the prompt that the lens reads, also "template"; by default
            all, up to a budget: the lens computes no more than the model's own pass and keeps at
            most 2 GiB. Of up to 8,192 positions it reads all where one product per layer and
            position stays within that. Besides these it reads the answer, from token 1,024 on
            within the same budget; "all" reads all of both.
        lens_translator: A translator of the model, NAME.lens.safetensors or what `fit_lens`
            returned. The lens reads the residuals a second time through it, as the site
            "translated": it predicts the next token, and cannot show rehearsal.
        map_tile: Tile size, in tokens, of the attention map (token × token): 64, (64, 32) for
            queries × keys, "none", or "auto".
        map_heads: "mean" for one map, "all" for one map per head.
        windows: Rectangles of exact attention weights, such as "-64:,0:512" (queries, keys),
            (slice(-64, None), (0, 512)), or a list of up to eight of them.
        scores: Whether to score the heads (sink, local, previous, induction, diffuse). The model
            then also reads a short text of repeated random tokens.
        thumbnails: Whether to keep a picture of each head's attention in at most 32 × 32 tiles,
            from the sweep that gives the map; by default up to 32,768 tokens and 1,024 heads (all
            layers together), unless `map_tile` is "none".
        context: Whether to sum each head's attention by the distance to the key, by a further
            sweep: how large a window of the KV cache it needs, in `trace.context_use()`.
        reference: Whether to read the placebo questions too, short ones in the same chat template:
            a rehearsal counts only where none of them gives the same token, and findings say how
            the prompt departs from them.
        test_sources: Whether to test which passages of the prompt each word of the answer depends
            on, by hiding them from it: "auto" (words of a question, sentences of a document, named
            segments whole), "word", "sentence", "paragraph", "message", "segment", a dictionary
            such as `segments`, or "none". By default "auto" for prompts of up to 512 tokens, as
            far as it adds no more than 40 % to the run. The result is `trace.sources`.
        target: A text to test in place of the model's answer.
        versus: Another answer: effects on ln p(answer) - ln p(versus) are tested, too.
        how: "hide" a passage from the answer, or also "remove" it and read the rest again.
        budget: Seconds that the tests may take, as predicted; the rest is marked as not tested.
        storage: "float32" or "float16"; `attrs["storage_error"]` has the largest error of the
            latter.
        chunk: Number of tokens per forward pass; by default what fits well in the free memory.
        memory: Memory budget in bytes, or such as "2GiB", excluding weights and KV cache. It sets
            the chunk size.
        output: A path NAME.zarr or NAME.zarr.zip. The trace is written there while it is
            recorded; until it is complete, NAME.zarr.partial is there instead. Without it the
            trace stays in memory.
        scratch: A folder that takes a trace without `output` if it is larger than 256 MiB.
        force: Overwrite an existing `output`.
        resume: Continue the interrupted run of `output`. Chunks that are complete are read again
            but not recorded again.
        keep_cache: Keep the KV cache on disk so that `resume` is faster.
        progress: Called as progress(stage, done, total).

    Returns:
        The trace. `trace["entropy"]` is [layer, head, query], `trace["lens_entropy"]` is
        [site, layer, position], both in nats; `trace.report("report.html")` writes the report.

    Raises:
        UsageError: An argument that cannot work; the message names it in backticks.
        AttentropyError: The model cannot be recorded exactly, or the run was stopped (disk full,
            out of memory, device lost). A lens that cannot be read is left out, and a note in
            `attrs["notes"]` says why.

    Examples:
        >>> from attentropy import extract
        >>> trace = extract(prompt="What is the capital of Japan?", heads=[0, 1], stats="entropy")
        >>> trace
        <Trace of 'attentropy-demo': 17 tokens, 8 layers, 2 heads, answer 'Tokyo'>
        >>> trace["entropy"].shape  # layer, head, query: the prompt's and two of the answer
        (8, 2, 19)
        >>> trace.tokens[trace.prompt_tokens :]
        ['Tokyo', '<|eot_id|>']

        A model that is loaded already:

        >>> extract(model, "Hello", tokenizer=tokenizer)  # doctest: +SKIP
    """
    options = Options(
        chat_template=chat_template, system=system, question=question, tools=tools,
        template_args=template_args, revision=revision, dtype=dtype, device=device,
        quantize=quantize, max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p,
        seed=seed, top_k=top_k, stats=stats, layers=layers,
        heads=heads, lens=lens, lens_layers=lens_layers, lens_positions=lens_positions,
        lens_translator=lens_translator, map_tile=map_tile, map_heads=map_heads, windows=windows,
        scores=scores, thumbnails=thumbnails, context=context, reference=reference, storage=storage,
        test_sources=test_sources, target=target, versus=versus, how=how, budget=budget,
        chunk=chunk, memory=memory, output=output, scratch=scratch, force=force, resume=resume,
        keep_cache=keep_cache,
    )  # fmt: skip
    with open_partial(output, force=force, resume=resume, keep_cache=keep_cache) as partial:
        if prompt is None:
            if model is not None or question is not None:
                raise UsageError("no prompt; give one with `prompt`")
            prompt = demo.DEFAULT_PROMPT
        if options.sources.segments is not None:
            if segments is not None:
                raise UsageError("`test_sources` and `segments` both name parts; give them in one")
            segments = options.sources.segments
        show = progress or (lambda stage, done, total: None)
        show("loading the model", 0, 1)
        with one_child():
            loaded = open_model(model, tokenizer, options.placement)
            turns: dict[str, Any] = {
                "system": system, "question": question, "tools": tools,
                "template_args": template_args,
            }  # fmt: skip
            text = prepare(
                loaded.tokenizer, prompt, chat_template=chat_template,
                vocabulary=config_facts(loaded.model.config)["vocabulary"], **turns,
            )  # fmt: skip
            roles = message_roles(prompt, **turns)
            placebos = Placebos(why_not="the run left its reference out")
            if reference:
                placebos = placebo_prompts(loaded.tokenizer, prompt, text, **turns)
        if segments is not None:
            names = segment_names(text.tokens, text.roles, segments)
            earlier_names = text.segments or [""] * len(names)  # of a document and a question
            text = replace(
                text, segments=[new or old for new, old in zip(names, earlier_names, strict=True)]
            )
        check_length(loaded, len(text.ids))
        show("checking the model", 0, 1)
        earlier = partial.run() if partial is not None and resume else {}
        plan = plan_run(loaded, text, options, earlier)
        tests = plan_sources(plan, options, segments, roles)
        if scratch is not None and plan.nbytes > SCRATCH_BYTES:
            partial = PartialTrace(Path(scratch) / "trace.zarr", temporary=True)
        with Job(plan, partial, earlier, show) as job:
            trace = _run(job, show, placebos, tests)
        show("done", 1, 1)
        return trace


def _run(job: Job, show: Progress, placebos: Placebos, tests: SourceRun) -> Trace:
    """Read the prompt, answer it, look for the answer in it, and return the trace."""
    plan = job.plan
    if not plan.is_causal:
        job.read()
        return job.finish({} if plan.lens is None else vocabulary_arrays(plan.lens.vocabulary), {})
    answer = job.answer()
    ids = [token.id for token in answer]
    sources, notes = test_run(tests, plan, ids, job.take_cache(), show)
    job.attrs["notes"] = [*job.attrs["notes"], *notes]
    text = with_answer(plan.loaded, plan.text, ids)
    parts = parts_of_answer(plan.loaded, text.ids, text.tokens, plan.tokens)
    arrays = answer_arrays(plan.loaded, answer, parts)
    content = arrays["generated_content"][1].astype(bool)
    attrs: dict[str, Any] = {**answer_facts(plan.loaded, ids, parts)}
    if plan.lens is not None:
        show("measuring rehearsal", 0, 1)
        keep = sought(text, plan.tokens, content.tolist())
        reference, attrs["placebo"] = read_placebos(plan, placebos)
        sought_ids = [token for token, is_sought in zip(ids, keep, strict=True) if is_sought]
        job.rehearse(sought_ids, None if reference is None else reference.states)
        arrays |= {} if reference is None else reference.arrays(plan.lens.entries)
        arrays |= vocabulary_arrays(plan.lens.vocabulary)
    if answer:
        arrays |= text.coordinates()
    return job.finish(arrays, attrs, sources)


__all__ = ["AttentropyError", "extract"]

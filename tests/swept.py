"""Sweeps over tiny models, and the models' own eager weights."""

from contextlib import contextmanager
from dataclasses import replace

import torch
import xarray as xr
from transformers import DynamicCache

from attentropy.engine.attention import plan as layout
from attentropy.engine.attention.recorder import Recorder, recording
from attentropy.engine.attention.selfcheck import attention_entries, check_model
from attentropy.engine.attention.stream import Stream
from attentropy.engine.maps.sweeps import Sweeps
from attentropy.engine.model.cache import continuing
from attentropy.engine.trace.layout import array_layout
from attentropy.engine.trace.sinks import MemorySink
from attentropy.engine.trace.statistics import DEFAULT_STATS
from tiny import model

LENGTH = 301


FAMILIES = {
    "grouped": ("llama", {}),
    "sliding": ("mistral", {"sliding_window": 70}),
    "alternating": (
        "gemma3_text",
        {"sliding_window": 70, "head_dim": 16, "query_pre_attn_scalar": 16},
    ),
    "learned sinks": ("gpt_oss", {"sliding_window": 9, "head_dim": 16, "num_local_experts": 4}),
}


def family_model(family):
    kind, extra = FAMILIES[family]
    return model(kind, max_position_embeddings=512, **extra)


def random_ids(length=LENGTH, seed=0):
    return torch.randint(0, 250, (1, length), generator=torch.Generator().manual_seed(seed))


def eager_weights(subject, ids):
    """Return the eager weights over the keys, [layer, head, query, key] in float64."""
    before = subject.config._attn_implementation
    subject.set_attn_implementation("eager")
    with torch.no_grad():
        weights = subject(ids, output_attentions=True, use_cache=False).attentions
    subject.set_attn_implementation(before)
    p = torch.stack([w[0] for w in weights]).double()
    return (p / p.sum(-1, keepdim=True)).numpy()


def sweeps_of(subject, tokens=LENGTH, **plan):
    heads = [check_model(subject).heads.get(entry, 0) for entry in attention_entries(subject)]
    return Sweeps(tokens, heads, **plan)


def swept(subject, ids, sweeps, chunk=None):
    """Return the dataset recorded in one pass, or in chunks through the cache."""
    cache = None if chunk is None else DynamicCache(config=subject.config)
    chunk = chunk or ids.shape[1]
    with streamed(subject, sweeps) as arrays:
        for start in range(0, ids.shape[1], chunk):
            subject(ids[:, start : start + chunk], **continuing(cache), use_cache=cache is not None)
    return dataset(sweeps, arrays)


@contextmanager
def streamed(subject, sweeps, stats=DEFAULT_STATS):
    """Yield the arrays that collect what `sweeps` computes from the model's passes."""
    plan, _ = layout.plan_attention(subject, sweeps.tokens, stats, None, "all")
    if sweeps.sinks is not None:
        plan = replace(plan, derived=sweeps.sinks.names)
    sink = MemorySink()
    fields = plan.fields(sweeps.tokens, "float32")
    for name, (dims, shape) in sweeps.layout().items():
        fields[name] = array_layout(name, dims, shape, sweeps.tokens, "float32")
    for name, array in fields.items():
        sink.create(name, array)
    stream = Stream(plan, sink, sweeps)
    recorder = Recorder(subject, stats=stats, stream=stream)
    with torch.no_grad(), recording(subject, recorder):
        yield sink.arrays


def dataset(sweeps, arrays):
    grown = {name: (dims, arrays[name]) for name, (dims, _) in sweeps.layout().items()}
    return xr.Dataset(grown | sweeps.finished(), sweeps.coordinates())

"""The lens's plan is the same from passes of its own and from a pass that the caller ran."""

import torch

from attentropy.engine.lens.blocks import checked_blocks, watch_blocks
from attentropy.engine.lens.budget import SITES
from attentropy.engine.lens.head import watch_head
from attentropy.engine.lens.plan import plan_lens
from attentropy.engine.model.layers import decoder_layers
from attentropy.engine.model.load import LoadedModel
from attentropy.engine.prompt.prepare import Prompt
from attentropy.engine.record.record import record
from tiny import model


def test_a_plan_from_one_shared_pass_is_that_of_passes_of_its_own():
    subject = model("gemma2", head_dim=16)
    loaded = LoadedModel(subject, None, "gemma2", None)
    ids = torch.arange(3, 19)[None]
    text = Prompt("", ids[0].tolist(), ["x"] * 16, ["content"] * 16, [(0, 0)] * 16, False)
    notes: list[str] = []
    wanted = plan_lens(loaded, ids, text, SITES, "0,2", None, notes)
    layers = decoder_layers(subject)
    runs = []
    counting = subject.register_forward_hook(lambda *call: runs.append(1))
    with (
        torch.no_grad(),
        record(subject, stats=("entropy",)) as recorder,
        watch_head(subject) as head_pass,
        watch_blocks(layers, recorder, subject.config) as explained,
    ):
        head_pass.logits = subject(ids, use_cache=False).logits
    blocks = checked_blocks(layers, explained)
    shared = plan_lens(
        loaded, ids, text, SITES, "0,2", None, notes, head_pass=head_pass, blocks=blocks
    )
    counting.remove()
    assert len(runs) == 1
    assert notes == []
    # Entry by entry: the weights are one tensor, which does not compare as one value.
    assert {**vars(shared), "lens": vars(shared.lens)} == {
        **vars(wanted),
        "lens": vars(wanted.lens),
    }
    assert shared.sites == list(SITES)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in subject.modules())

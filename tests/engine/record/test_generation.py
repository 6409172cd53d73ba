"""What `generate` makes of a prompt has names, roles and a lens, and the rows of one pass."""

import numpy as np
import pytest
import torch

from attentropy.engine.errors import AttentropyError
from attentropy.engine.lens.lens import Lens
from attentropy.engine.record import lens as lens_module
from attentropy.engine.record.record import record
from attentropy.engine.run.extract import extract
from attentropy.engine.trace.dataset import Trace
from eager import assert_eager
from pictures import without_pictures
from tiny import model, tokenizer

PROMPT = torch.tensor([[256, 258, 71, 72, 257, 258, 64]])
NEW = {"max_new_tokens": 6, "min_new_tokens": 6, "pad_token_id": 257}
LENS = ("lens_entropy", "lens_kl", "lens_target_logprob", "lens_top_logprobs")


@pytest.fixture(scope="module")
def subject():
    return model()


def _alone(subject, ids):
    with record(subject, tokenizer=tokenizer(), lens="all") as recorder:
        subject(ids)
    return recorder.trace


@pytest.mark.parametrize("cache", [None, "static"], ids=["dynamic", "static"])
@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
def test_generated_tokens_have_names_roles_and_a_lens(subject, cache, sampled, tmp_path):
    torch.manual_seed(0)
    with record(subject, tokenizer=tokenizer(), lens="all") as recorder:
        out = subject.generate(PROMPT, do_sample=sampled, cache_implementation=cache, **NEW)
    trace, read = recorder.trace, out[:, :-1]  # the last token is never read
    assert trace["token_ids"].tolist() == read[0].tolist()
    assert trace.roles[:7] == ["bos", "template", "content", "content", "template", "template",
                               "content"]  # fmt: skip
    assert trace.roles[7:] == ["generated"] * 5
    assert trace.tokens[:4] == ["<|bos|>", "<|start|>", "h", "i"]
    assert_eager(trace, subject, input_ids=read)
    alone = _alone(subject, read)
    for name in LENS:
        np.testing.assert_allclose(trace[name], alone[name], atol=2e-4, err_msg=name)
    np.testing.assert_array_equal(trace["target_ids"], alone["target_ids"])
    if not sampled:
        assert trace["target_ids"][6:].tolist() == out[0, 7:].tolist()
    opened = Trace.open(trace.save(tmp_path / "generated.zarr.zip"))
    assert opened.roles == trace.roles
    with without_pictures():
        assert "generated" in opened.to_html()


def test_the_lens_is_that_of_extract(subject):
    trace = _alone(subject, PROMPT)
    options = {"stats": "all", "lens": "all", "scores": False, "max_new_tokens": 0}
    wanted = extract(subject, PROMPT, tokenizer=tokenizer(), **options)
    for name in (*LENS, "lens_rank", "lens_top_ids", "target_ids", "site"):
        np.testing.assert_array_equal(trace[name], wanted[name], err_msg=name)
    texts = dict(zip(trace["vocabulary_ids"].tolist(), trace["vocabulary_text"], strict=True))
    every = dict(zip(wanted["vocabulary_ids"].tolist(), wanted["vocabulary_text"], strict=True))
    assert texts == {token: every[token] for token in texts}
    assert set(trace["lens_top_ids"].ravel().tolist()) <= set(texts)


def test_the_lens_is_the_models_own_distribution_at_its_last_layer(subject):
    trace = _alone(subject, PROMPT)
    with torch.no_grad():
        logprobs = subject(PROMPT).logits[0].double().log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1).numpy()
    np.testing.assert_allclose(trace["lens_entropy"][0, -1], entropy, atol=1e-4)
    np.testing.assert_array_equal(trace["target_ids"], logprobs.argmax(-1).numpy())


@pytest.mark.parametrize("lens", ["none", "residual"])
def test_a_padded_batch_has_the_roles_and_lenses_of_single_runs(subject, lens):
    batch = torch.cat([PROMPT, torch.tensor([[257, 257, 257, 256, 71, 72, 73]])])
    mask = torch.ones_like(batch)
    mask[1, :3] = 0
    with record(subject, tokenizer=tokenizer(), lens=lens) as recorder:
        out = subject.generate(batch, attention_mask=mask, do_sample=False, **NEW)
    for trace, row, start in zip(recorder.traces, out, (0, 3), strict=True):
        read = row[start:-1]
        assert trace["token_ids"].tolist() == read.tolist()
        assert trace.roles[7 - start :] == ["generated"] * 5
        assert "generated" not in trace.roles[: 7 - start]
        assert_eager(trace, subject, input_ids=read[None])
        if lens != "none":
            alone = _alone(subject, read[None])
            entropy = alone["lens_entropy"][:1]
            np.testing.assert_allclose(trace["lens_entropy"], entropy, atol=2e-4)
        else:
            assert "lens_entropy" not in set(trace.keys())


@pytest.mark.parametrize("waiting", [1, 5, 1000])
def test_the_lens_reads_many_generated_tokens_at_once(subject, waiting, monkeypatch):
    monkeypatch.setattr(lens_module, "_WAITING_ROWS", waiting)
    batch = torch.cat([PROMPT, torch.tensor([[257, 257, 257, 256, 71, 72, 73]])])
    mask = torch.ones_like(batch)
    mask[1, :3] = 0
    read, reads = Lens.head_statistics, []

    def counted(self, hidden, *args, **options):
        reads.append(len(hidden))
        return read(self, hidden, *args, **options)

    with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
        monkeypatch.setattr(Lens, "head_statistics", counted)
        out = subject.generate(batch, attention_mask=mask, do_sample=False, **NEW)
    passes = {1: 6, 5: 3, 1000: 1}[waiting]  # the prompt's 11 rows, then two rows in each of five
    assert len(reads) == passes * 2  # the targets, and all layers together
    assert sum(reads) == (11 + 5 * 2) * (1 + len(subject.model.layers))
    monkeypatch.setattr(Lens, "head_statistics", read)
    for trace, row, start in zip(recorder.traces, out, (0, 3), strict=True):
        alone = _alone(subject, row[None, start:-1])
        for name in LENS:
            np.testing.assert_allclose(trace[name], alone[name][:1], atol=2e-4, err_msg=name)
        np.testing.assert_array_equal(trace["target_ids"], alone["target_ids"])


def test_a_trace_taken_between_two_passes_has_the_lens_so_far(subject):
    with record(subject, tokenizer=tokenizer(), lens="residual") as recorder:
        first = subject(PROMPT[:, :4], use_cache=True)
        early = recorder.trace
        for i in range(4, 7):
            subject(PROMPT[:, i : i + 1], past_key_values=first.past_key_values)
    alone = _alone(subject, PROMPT)
    for trace in (early, recorder.trace):
        n = len(trace.tokens)
        entropy = alone["lens_entropy"][:1, :, :n]
        np.testing.assert_allclose(trace["lens_entropy"], entropy, atol=2e-4)
    assert n == 7


def test_what_fills_a_batch_up_after_an_answer_is_padding(subject):
    batch = torch.cat([PROMPT, PROMPT.flip(1)])
    inputs = {"input_ids": batch, "attention_mask": torch.ones_like(batch), "do_sample": False}
    free = subject.generate(**inputs, **NEW)
    # As if the first answer ended with its first token that the second does not have.
    end = next(t for t in free[0, 8:].tolist() if t not in free[1, 7:].tolist())
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject.generate(**inputs, max_new_tokens=6, pad_token_id=257, eos_token_id=end)
    ended = free[0, 7:].tolist().index(end) + 1
    first, second = (trace.roles[7:] for trace in recorder.traces)
    assert first == ["generated"] * ended + ["padding"] * (5 - ended)
    assert second == ["generated"] * 5


def test_a_second_turn_keeps_the_first_turns_roles(subject):
    with record(subject, tokenizer=tokenizer()) as recorder:
        one = subject.generate(PROMPT, return_dict_in_generate=True, do_sample=False, **NEW)
        follow = torch.cat([one.sequences, torch.tensor([[258, 70]])], 1)
        two = subject.generate(follow, past_key_values=one.past_key_values, do_sample=False, **NEW)
    trace = recorder.trace
    assert trace["token_ids"].tolist() == two[0, :-1].tolist()
    assert trace.roles[7:] == ["generated"] * 6 + ["template", "content"] + ["generated"] * 5


def test_passes_by_hand_are_what_the_caller_gave(subject):
    with record(subject, tokenizer=tokenizer()) as recorder:
        subject(PROMPT)
    assert "generated" not in recorder.trace.roles


def test_generation_that_reads_everything_again_is_refused_in_one_line(subject):
    refused = pytest.raises(AttentropyError, match="use_cache=True")
    with record(subject), refused as caught:
        subject.generate(PROMPT, use_cache=False, **NEW)
    assert "\n" not in str(caught.value)


def test_generate_is_the_models_own_again(subject):
    with pytest.raises(ZeroDivisionError), record(subject):
        assert 1 / ("generate" not in vars(subject))
    assert "generate" not in vars(subject)


def test_a_prompt_of_embeddings_is_followed_by_generated_tokens(subject):
    embeddings = subject.get_input_embeddings()(PROMPT).detach()
    with record(subject, tokenizer=tokenizer()) as recorder:
        out = subject.generate(inputs_embeds=embeddings, do_sample=False, **NEW)
    trace = recorder.trace
    assert trace["token_ids"].tolist() == [-1] * 7 + out[0, -6:-1].tolist()
    assert trace.roles == ["content"] * 7 + ["generated"] * 5


def test_a_model_without_a_head_has_no_lens_and_says_so(subject):
    with record(subject.model, lens="residual") as recorder:
        subject.model(PROMPT)
    assert recorder.trace.attrs["notes"][0].startswith("no lens: LlamaModel has no output embed")


def test_a_lens_over_several_sequences_and_chunks(subject):
    with record(subject, lens="residual") as recorder:
        for ids in (PROMPT, PROMPT.flip(1)):
            cache = subject(ids[:, :3], use_cache=True).past_key_values
            subject(ids[:, 3:], past_key_values=cache)
    for trace, ids in zip(recorder.traces, (PROMPT, PROMPT.flip(1)), strict=True):
        wanted = _alone(subject, ids)["lens_entropy"][:1]
        np.testing.assert_allclose(trace["lens_entropy"], wanted, atol=2e-4)

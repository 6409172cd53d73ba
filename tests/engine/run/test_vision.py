"""The text of a vision-language model is recorded from its folder; entropies are eager's."""

import numpy as np
import pytest
import torch

import tiny
import vision
from attentropy.engine.run.extract import extract

TEXT = "Paris is the capital of France."


def _qwen2_5_vl():
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    config = Qwen2_5_VLConfig(
        text_config={**vision.TEXT, "rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 32, "out_hidden_size": 64, "num_heads": 2, "patch_size": 4,
            "intermediate_size": 64, "spatial_merge_size": 2, "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        image_token_id=vision.IMAGE, video_token_id=151, vision_start_token_id=152,
        vision_end_token_id=153,
    )  # fmt: skip
    return Qwen2_5_VLForConditionalGeneration(config).eval()


MODELS = {
    "qwen2_vl": lambda: vision.qwen2_vl()[0],
    "qwen2_5_vl": _qwen2_5_vl,
    "llava": lambda: vision.llava()[0],
    "gemma3": lambda: vision.gemma3()[0],
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, tmp_path_factory):
    """Return the folder of a vision-language model."""
    folder = tmp_path_factory.mktemp("vision") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vision.TEXT, "vocab_size", 264)  # the tokenizer's
        yield _saved(folder, request.param)


def _saved(folder, kind):
    MODELS[kind]().save_pretrained(folder)
    tiny.tokenizer(None).save_pretrained(folder)
    return folder


@pytest.mark.costly
def test_its_text_is_recorded_from_the_folder(folder):
    kind = folder.name
    ids = [i % 140 for i in range(3, 27)]
    trace = extract(folder, ids, device="cpu", max_new_tokens=2)
    assert trace.attrs["model"]["type"] == kind
    assert not trace.attrs["notes"]
    read = trace["token_ids"].tolist()
    assert read[: len(ids)] == ids
    model = MODELS[kind]().double()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(torch.tensor([read]), output_attentions=True, use_cache=False)
    weights = torch.stack([w[0] for w in output.attentions]).double()
    wanted = -torch.where(weights > 0, weights * weights.log(), 0.0).sum(-1)
    np.testing.assert_allclose(trace["entropy"], wanted, atol=2e-5)
    logprobs = output.logits[0].double().log_softmax(-1)
    np.testing.assert_allclose(
        trace["lens_entropy"][0, -1], -(logprobs.exp() * logprobs).sum(-1), atol=1e-4
    )
    own = logprobs[:-1].gather(-1, torch.tensor(read[1:])[:, None])[:, 0]
    np.testing.assert_allclose(trace["token_logprob"][1:], own, atol=1e-4)
    assert trace["generated_ids"][0] == int(logprobs[trace.prompt_tokens - 1].argmax())
    assert set(trace["role"]) == {"content", "generated"}

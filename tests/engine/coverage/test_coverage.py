"""The parity table pins what a run really gives, and no pinned number is wrong."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from attentropy.engine.coverage import compare as comparison
from attentropy.engine.coverage import table, tiny
from attentropy.engine.coverage.classes import class_names, find_class
from attentropy.engine.coverage.compare import compare
from attentropy.engine.errors import AttentropyError
from attentropy.engine.record.record import record

PINNED = table.read_status()
ROWS = PINNED["classes"]
SAME_VERSION = transformers.__version__ == PINNED["transformers"]

FAMILIES = [
    "AfmoeForCausalLM",
    "BambaForCausalLM",
    "BertLMHeadModel",
    "BloomForCausalLM",
    "CodeGenForCausalLM",
    "Cohere2ForCausalLM",
    "CohereForCausalLM",
    "DeepseekV2ForCausalLM",
    "DeepseekV32ForCausalLM",
    "DeepseekV3ForCausalLM",
    "DeepseekV4ForCausalLM",
    "DiffLlamaForCausalLM",
    "DogeForCausalLM",
    "FalconForCausalLM",
    "FalconH1ForCausalLM",
    "GPT2LMHeadModel",
    "GPTJForCausalLM",
    "GPTNeoForCausalLM",
    "GPTNeoXForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Gemma3nForCausalLM",
    "Gemma4ForCausalLM",
    "Glm4ForCausalLM",
    "GptOssForCausalLM",
    "GraniteForCausalLM",
    "GraniteMoeHybridForCausalLM",
    "InklingForCausalLM",
    "JambaForCausalLM",
    "Llama4ForCausalLM",
    "LlamaForCausalLM",
    "MambaForCausalLM",
    "MiniCPM3ForCausalLM",
    "MiniMaxForCausalLM",
    "MistralForCausalLM",
    "MixtralForCausalLM",
    "MptForCausalLM",
    "NemotronForCausalLM",
    "OPTForCausalLM",
    "Olmo2ForCausalLM",
    "Phi3ForCausalLM",
    "PhiForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen2MoeForCausalLM",
    "Qwen3ForCausalLM",
    "Qwen3MoeForCausalLM",
    "Qwen3NextForCausalLM",
    "RecurrentGemmaForCausalLM",
    "RobertaForCausalLM",
    "SmolLM3ForCausalLM",
    "Starcoder2ForCausalLM",
    "XGLMForCausalLM",
    "ZambaForCausalLM",
]
# They accept any attention implementation's name but never call it, and raise no error themselves.
SILENT = [
    "BloomForCausalLM",
    "BigBirdForCausalLM",
    "CodeGenForCausalLM",
    "GPTNeoXJapaneseForCausalLM",
    "MegatronBertForCausalLM",
    "MvpForCausalLM",
    "RemBertForCausalLM",
    "RoFormerForCausalLM",
    "TrOCRForCausalLM",
    "XGLMForCausalLM",
]


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.costly
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_the_status_that_the_table_pins(name):
    if name not in class_names():
        pytest.skip(f"transformers {transformers.__version__} has no {name}")
    statuses = {part: verdict[0] for part, verdict in compare(name).items()}
    assert "wrong" not in statuses.values()
    if not SAME_VERSION:
        pytest.skip(f"pinned for transformers {PINNED['transformers']}; no number was wrong")
    assert statuses == {part: verdict[0] for part, verdict in ROWS[name].items()}


def test_the_table_has_every_class_of_the_installed_transformers():
    if not SAME_VERSION:
        pytest.skip(f"the table is that of transformers {PINNED['transformers']}")
    assert set(ROWS) == set(class_names())


def test_the_page_says_what_the_status_file_pins():
    assert table.PAGE.read_text("utf-8") == table.render_page(PINNED)


def test_the_table_holds_no_wrong_number_and_gives_every_refusal_its_reason():
    for name, row in ROWS.items():
        for part, (status, reason) in row.items():
            assert status in ("pass", "refused", "not applicable"), (name, part, reason)
            assert (status == "pass") == (reason == ""), (name, part)
            assert "\n" not in reason


def test_at_least_140_classes_are_recorded_and_130_read_by_the_lens():
    causal = {name: row for name, row in ROWS.items() if name.endswith("ForCausalLM")}
    assert table.count_statuses(causal, "attention")["pass"] >= 140
    assert table.count_statuses(causal, "lens")["pass"] >= 130


def test_the_models_that_never_call_the_interface_are_all_refused():
    for name in SILENT:
        assert ROWS[name]["attention"][0] == "refused"


def test_an_entropy_that_is_off_by_little_is_called_wrong(monkeypatch):
    from attentropy.engine.attention import hook as attention_hook

    right = attention_hook.attention

    def off(*tensors, **rest):
        result = right(*tensors, **rest)
        return replace(result, entropy=result.entropy + 2e-5)

    monkeypatch.setattr(attention_hook, "attention", off)
    status, reason = compare("LlamaForCausalLM")["attention"]
    assert status == "wrong"
    assert re.search(r"entropy differs by 2(\.\d)?e-05 nats", reason)


def test_tiny_models_attend_far_from_uniformly_and_past_their_windows():
    model = tiny.tiny_model(find_class("MistralForCausalLM"))
    ids = comparison.random_ids(comparison.LENGTH)
    with torch.no_grad(), record(model) as recorder:
        model(ids, use_cache=False)
    trace = recorder.trace
    visible = torch.tensor(trace["visible"])[:, None, 1:]
    assert int(visible.max()) == tiny.WINDOW < comparison.LENGTH // 2
    lost = visible.log() - torch.tensor(trace["entropy"][..., 1:])
    assert float(lost.mean()) > 0.1


def test_sparse_attention_is_refused_where_it_leaves_keys_out():
    if "DeepseekV32ForCausalLM" not in class_names():
        pytest.skip(f"transformers {transformers.__version__} has no DeepseekV32ForCausalLM")
    cls = find_class("DeepseekV32ForCausalLM")
    config = tiny.tiny_config(cls)
    config.index_topk = 20
    model = cls(config).eval()
    with torch.no_grad(), record(model) as recorder:
        model(comparison.random_ids(20), use_cache=False)
        assert len(recorder.calls) == 2
        with pytest.raises(AttentropyError, match="selects 20 of 21 keys"):
            model(comparison.random_ids(21), use_cache=False)


def test_the_readme_links_to_the_page():
    text = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
    assert re.search(r"\]\(engine/COVERAGE\.md\)", text)

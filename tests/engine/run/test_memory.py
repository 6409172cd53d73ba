"""Recording builds no dense mask, and no logits of a whole prompt."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import save

pytestmark = pytest.mark.costly

# The logits of the whole prompt alone would take 394 MB.
TOKENS, LAYERS, WIDTH, VOCABULARY = 768, 2, 64, 128_256

RUN = """
import sys
import attentropy.engine.run.extract as engine

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

before = resident("VmRSS")
trace = engine.extract(
    sys.argv[1], "x y " * (int(sys.argv[2]) // 4), chat_template=False, device="cpu",
    lens_positions="all", max_new_tokens=1,
)
assert trace["lens_kl"].shape == (1, 2, int(sys.argv[2])), trace["lens_kl"].shape
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which is Linux's")
def test_peak_memory_stays_under_weights_and_kept_states_and_256_mib(tmp_path):
    folder = save(
        tmp_path / "tiny", vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS,
        max_position_embeddings=TOKENS,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder), str(TOKENS)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    weights = (folder / "model.safetensors").stat().st_size
    states = LAYERS * TOKENS * WIDTH * 4
    assert int(done.stdout) <= weights + states + 256 * 2**20


MASKS = """
import sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM, masking_utils
from attentropy.engine.attention.hook import NAME
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.attention.recorder import record

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

tokens, padding = int(sys.argv[1]), 777
model = AutoModelForCausalLM.from_config(AutoConfig.for_model(
    "mistral", vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    num_attention_heads=1, num_key_value_heads=1, sliding_window=256,
)).eval()
ids = torch.randint(3, 64, (2, tokens))
mask = torch.ones_like(ids)
mask[1, :padding] = 0
with torch.no_grad():
    with record(model, stats=("entropy",)):
        model(ids[:, -99:], use_cache=False)
    before = resident("VmRSS")
    with record(model, stats=("entropy",)) as recorder:
        model(ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
        model.config.attention_chunk_size = 256
        for pattern in ("causal", "sliding_window_causal", "chunked_causal"):
            create = getattr(masking_utils, f"create_{pattern}_mask")
            seen = create(model.config, torch.empty(2, tokens, 0), mask, None)
            assert isinstance(seen, Visibility), pattern
sizes = [trace["entropy"].shape[-1] for trace in recorder.traces]
assert sizes == [tokens, tokens - padding], sizes
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc, which is Linux's")
def test_no_dense_mask_is_built_of_a_padded_batch_of_12k_tokens():
    tokens = 12_288
    done = subprocess.run(
        [sys.executable, "-c", MASKS, str(tokens)],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 128 * 2**20  # a dense boolean mask takes 288 MiB

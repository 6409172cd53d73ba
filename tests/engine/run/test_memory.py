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

PADDED, PADDING = 16_384, 777

# Both measurements run in one process, since importing transformers takes longer than either.
MEASURE = """
import ctypes
import gc
import sys
import torch
from transformers import AutoConfig, AutoModelForCausalLM, masking_utils
from attentropy.engine.record.record import record
from attentropy.engine.attention.visibility import Visibility
from attentropy.engine.run.extract import extract

def resident(name):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def begin():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # VmHWM counts from here
    return resident("VmRSS")

folder, tokens, padded, padding = sys.argv[1], *map(int, sys.argv[2:])
before = begin()
trace = extract(
    folder, "x y " * (tokens // 4), chat_template=False, device="cpu",
    lens_positions="all", max_new_tokens=1,
)
assert trace["lens_kl"].shape == (1, 2, tokens), trace["lens_kl"].shape
print(resident("VmHWM") - before)
del trace

model = AutoModelForCausalLM.from_config(AutoConfig.for_model(
    "mistral", vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    num_attention_heads=1, num_key_value_heads=1, sliding_window=256,
)).eval()
ids = torch.randint(3, 64, (2, padded))
mask = torch.ones_like(ids)
mask[1, :padding] = 0
with torch.no_grad():
    with record(model, stats=("entropy",)):
        model(ids[:, -99:], use_cache=False)
    before = begin()
    with record(model, stats=("entropy",)) as recorder:
        model(ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
        model.config.attention_chunk_size = 256
        for pattern in ("causal", "sliding_window_causal", "chunked_causal"):
            create = getattr(masking_utils, f"create_{pattern}_mask")
            mask_read = create(model.config, torch.empty(2, padded, 0), mask, None)
            assert isinstance(mask_read, Visibility), pattern
sizes = [trace["entropy"].shape[-1] for trace in recorder.traces]
assert sizes == [padded, padded - padding], sizes
print(resident("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """Return the bytes of the weights, and how far a run and a padded batch raise the memory."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("reads /proc, which is Linux's")
    folder = save(
        tmp_path_factory.mktemp("model") / "tiny", vocab_size=VOCABULARY, hidden_size=WIDTH,
        num_hidden_layers=LAYERS, max_position_embeddings=TOKENS,
    )  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, (folder, TOKENS, PADDED, PADDING))],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    run, batch = map(int, process.stdout.split())
    return (folder / "model.safetensors").stat().st_size, run, batch


def test_peak_memory_stays_under_weights_and_kept_states_and_256_mib(peaks):
    weights, peak, _ = peaks
    states = LAYERS * TOKENS * WIDTH * 4
    assert peak <= weights + states + 256 * 2**20


def test_no_dense_mask_is_built_of_a_padded_batch_of_16k_tokens(peaks):
    *_, peak = peaks
    assert peak <= 128 * 2**20  # a dense boolean mask takes 512 MiB

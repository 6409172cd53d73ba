"""What an extraction takes beside the weights: no logits of a whole prompt, no second copy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny import save

TOKENS, LAYERS, WIDTH, VOCABULARY = 2048, 2, 64, 128_256

RUN = """
import sys
import attentropy.engine.extract as engine

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
    kept = LAYERS * TOKENS * WIDTH * 4
    assert int(done.stdout) <= weights + kept + 256 * 2**20

"""Constants that `hopper_lazy`, the kernels around it and their emulation in the tests share."""

from __future__ import annotations

import triton.language as tl

ROWS = tl.constexpr(64)  # of a warp group, the fewest that the matrix units take
LANES = tl.constexpr(8)  # parts of a row's sums, which stay within threads: see triton_online.py
# In base 2. Scores may exceed the maximum that they are shifted by by so much, so that weights stay
# below 2^8, which float16 holds; sums of 2^20 such weights are far from the end of float32.
RISE = tl.constexpr(8.0)
SINK_KEYS = tl.constexpr(4)
# A row's top key before `hopper_top_key`: its tile · BITS + a bit for each lane that may have it.
BITS = tl.constexpr(256)

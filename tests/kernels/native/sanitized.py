"""Run cases of the fuzzer and large blocks through the C code; see test_sanitizers.py."""

import sys

import odd_attention
import odd_fuzz
import torch

from attentropy import attention, attention_map, attention_received
from close import inputs

torch.set_num_threads(2)
count = 0
for seed in range(int(sys.argv[1])):
    if seed % 5 != 4:
        q, k, v, arguments = odd_fuzz.Case(seed).attention()
        odd_attention.check("native", q, k, v, arguments)
        where = {name: value for name, value in arguments.items() if name != "sinks"}
        attention_map(q, k, attention(q, k, v).lse, tile=(3, 5), impl="native", **where)
        count += 1
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    q, k, v = (x.to(dtype) for x in inputs(261, 1111, dim=20, width=12))
    segments = torch.arange(1111).remainder(3).repeat(2, 1)
    v[:, :, 7] = torch.nan
    for mask in ({}, {"causal": False}, {"window": 40}, {"segments": segments}):
        lse = attention(q, k, v, stats=odd_attention.STATS, impl="native", **mask).lse
        for tile in (1, 64, (1000, 700)):
            attention_map(q, k, lse, tile=tile, heads="mean", impl="native", **mask)
        attention_received(q, k, lse, impl="native", **mask)
        count += 1
print(count, "calls")

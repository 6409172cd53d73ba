"""How each implementation reads a vocabulary whose logits are odd, against the definitions."""

from __future__ import annotations

import oracle
from odd_cases import INF

from attentropy import vocabulary
from close import assert_close


def check_vocabulary(impl, hidden, unembedding, **arguments):
    """Assert that one implementation reads rows of logits as the definitions say."""
    got = vocabulary(hidden, unembedding, impl=impl, **arguments)
    wanted = oracle.vocabulary(hidden, unembedding, **arguments)
    scale = abs(arguments.get("scale", 1.0))
    sizes = [x.double().abs().nan_to_num(0.0, 0.0, 0.0) for x in (hidden, unembedding)]
    largest = (sizes[0] @ sizes[1].T).max()
    if arguments.get("bias") is not None:
        largest = largest + arguments["bias"].double().abs().nan_to_num(0.0, 0.0, 0.0).max()
    bound = 2e-4 + 2**-19 * scale * float(largest)
    bias, final = arguments.get("bias", hidden), arguments.get("final", hidden)
    inputs = (hidden.abs(), unembedding.abs(), final.abs(), bias)
    is_finite = not any((x == INF).any() for x in inputs)
    if impl == "triton" and not is_finite and (bias == -INF).any():
        return  # a token that the bias hides stays hidden, also where its product is inf
    for name, true in wanted.items():
        mine, true = getattr(got, name).double(), true.double()
        if impl == "triton" and name in ("entropy", "kl"):  # 0 · (−inf), of inf in a logit
            lost = mine.isnan() & true.isfinite()
            assert not (lost.any() and is_finite)
            mine, true = mine.masked_fill(lost, 0.0), true.masked_fill(lost, 0.0)
        if not mine.is_floating_point() or name in ("top_ids", "target_rank"):
            _check_ids(name, mine, true, got, wanted)
        else:
            assert_close(mine, true, bound, name)


def _check_ids(name, mine, true, got, wanted):
    """Assert that ids or ranks agree wherever the logits of neighbours are far apart."""
    near = mine != true
    if name == "top_ids":
        gap = (got.top_logprobs.double() - wanted["top_logprobs"]).abs()
        assert not (near & ~(gap < 1e-3) & wanted["top_logprobs"].isfinite()).any()
    else:
        assert not (near & ((mine - true).abs() > 1)).any()

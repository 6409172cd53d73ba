"""The reference agrees with sums written out in plain Python."""

import math

import pytest
import torch

from attentropy import attention, attention_window, vocabulary

STATS = ("entropy", "max_prob", "max_logit", "varentropy", "distance", "sink_mass", "top_key")


def _sees(
    i, j, n, *, causal=True, window=None, chunk=None, start=0, length=None, segments=None, last=None
):
    """Return whether the query at position i may see key j, rule by rule as documented."""
    if j < start or (length is not None and j >= start + length) or j >= n:
        return False
    if causal and j > (last[i] if last else i):
        return False
    if window is not None and (i - j >= window or (not causal and j - i >= window)):
        return False
    if chunk is not None and (i - start) // chunk != (j - start) // chunk:
        return False
    return segments is None or segments[i] == segments[j]


RULES = [
    {},
    {"causal": False},
    {"window": 3},
    {"window": 3, "causal": False},
    {"chunk": 4},
    {"start": 2},
    {"start": 2, "chunk": 3},
    {"start": 1, "length": 5},
    {"segments": [0, 0, 0, 1, 1, 1, 2, 2, 2]},
    {"last": [0, 3, 3, 3, 4, 5, 7, 7, 8]},
    {"last": [2, 2, 2, 3, 7, 7, 7, 7, 8], "window": 3, "start": 1},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("extra", [{}, {"softcap": 1.5}, {"slopes": 0.3}, {"sinks": 0.7}], ids=str)
def test_every_row_is_what_plain_sums_give(rule, extra):
    n, dim, scale = 9, 3, 0.7
    random = torch.Generator().manual_seed(1)
    q, k, v = (torch.randn(1, 1, n, dim, generator=random, dtype=torch.float64) for _ in range(3))
    mask = {name: rule[name] for name in ("causal", "window", "chunk") if name in rule}
    if "start" in rule:
        mask["key_starts"] = torch.tensor([rule["start"]])
    if "length" in rule:
        mask["key_lengths"] = torch.tensor([rule["length"]])
    if "segments" in rule:
        mask["segments"] = torch.tensor([rule["segments"]])
    if "last" in rule:
        mask["last_keys"] = torch.tensor([rule["last"]])
    arguments = {
        name: value if name == "softcap" else torch.tensor([value]) for name, value in extra.items()
    }
    stats = (*STATS, "sink_prob") if "sinks" in extra else STATS
    result = attention(q, k, v, scale=scale, stats=stats, impl="reference", **mask, **arguments)
    for i in range(n):
        keys = [j for j in range(n) if _sees(i, j, n, **rule)]
        if not keys:
            assert math.isnan(result.entropy[0, 0, i])
            assert result.lse[0, 0, i] == -math.inf
            assert result.top_key[0, 0, i] == -1
            assert (result.out[0, 0, i] == 0).all()
            continue
        scores = {}
        for j in keys:
            s = scale * sum(float(q[0, 0, i, d] * k[0, 0, j, d]) for d in range(dim))
            if "softcap" in extra:
                s = 1.5 * math.tanh(s / 1.5)
            scores[j] = s - (0.3 * (i - j) if "slopes" in extra else 0)
        total = sum(math.exp(s) for s in scores.values())
        p = {j: math.exp(s) / total for j, s in scores.items()}
        entropy = -sum(x * math.log(x) for x in p.values())
        start = rule.get("start", 0)
        wanted = {
            "lse": math.log(total),
            "entropy": entropy,
            "max_prob": max(p.values()),
            "max_logit": max(scores.values()),
            "varentropy": sum(x * math.log(x) ** 2 for x in p.values()) - entropy**2,
            "distance": sum(x * (i - j) for j, x in p.items()),
            "sink_mass": sum(x for j, x in p.items() if start <= j < start + 4),
            "top_key": max(p, key=p.get),
        }
        keep = 1.0
        if "sinks" in extra:
            wanted["sink_prob"] = math.exp(0.7) / (math.exp(0.7) + total)
            keep = 1 - wanted["sink_prob"]
        for name, value in wanted.items():
            assert float(getattr(result, name)[0, 0, i]) == pytest.approx(value, abs=1e-6), name
        for d in range(dim):
            out = keep * sum(x * float(v[0, 0, j, d]) for j, x in p.items())
            assert float(result.out[0, 0, i, d]) == pytest.approx(out, abs=1e-6)


def test_grouped_heads_read_their_groups_keys_and_shorter_queries_end_at_the_last_key():
    random = torch.Generator().manual_seed(2)
    q = torch.randn(1, 4, 3, 8, generator=random)
    k, v = (torch.randn(1, 2, 7, 8, generator=random) for _ in range(2))
    result = attention(q, k, v, impl="reference")
    for head in range(4):
        for i in range(3):
            visible = slice(0, 7 - 3 + i + 1)
            s = (k[0, head // 2, visible] @ q[0, head, i]).double() * 8**-0.5
            p = s.softmax(-1)
            assert float(result.entropy[0, head, i]) == pytest.approx(
                float(-(p * p.log()).sum()), abs=1e-6
            )


def test_a_window_of_weights_is_the_softmax_itself():
    random = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 1, 6, 4, generator=random) for _ in range(3))
    lse = attention(q, k, v, impl="reference").lse
    for values in ("weight", "entropy"):
        got = attention_window(q, k, lse, (2, 5), (0, 4), values=values, impl="reference")
        for i in range(2, 5):
            s = [float(q[0, 0, i] @ k[0, 0, j]) / 2 for j in range(i + 1)]
            total = sum(map(math.exp, s))
            for j in range(4):
                p = math.exp(s[j]) / total if j <= i else 0.0
                wanted = p if values == "weight" or p == 0 else -p * math.log(p)
                assert float(got[0, 0, i - 2, j]) == pytest.approx(wanted, abs=1e-6)


def test_the_vocabulary_is_a_plain_softmax_with_ties_to_the_lower_id():
    hidden = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 3.0]])
    bias = torch.tensor([0.5, 0.0, 0.5, -1.0])
    targets = torch.tensor([[2, 1], [3, 0]])
    got = vocabulary(
        hidden, weight, bias=bias, scale=0.5, softcap=2.0, top_k=4, targets=targets,
        impl="reference",
    )  # fmt: skip
    for row in range(2):
        raw = [float(hidden[row] @ weight[v] + bias[v]) * 0.5 for v in range(4)]
        logits = [2 * math.tanh(x / 2) for x in raw]
        total = sum(map(math.exp, logits))
        p = [math.exp(x) / total for x in logits]
        order = sorted(range(4), key=lambda v: (-logits[v], v))
        assert got.top_ids[row].tolist() == order
        assert float(got.entropy[row]) == pytest.approx(-sum(x * math.log(x) for x in p))
        assert float(got.lse[row]) == pytest.approx(math.log(total))
        for t in range(2):
            target = int(targets[row, t])
            assert got.target_rank[row, t] == order.index(target)
            assert float(got.target_logprob[row, t]) == pytest.approx(math.log(p[target]))

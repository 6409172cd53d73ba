"""Whether a model's own outputs are finite, and from which token on they are not."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def not_finite_from(token: int) -> str:
    """Return the sentence that names outputs of the model that are not finite."""
    return f"the model's own outputs are not finite from token {token} on; try another dtype"


def finite_rows(values: Tensor) -> Tensor:
    """Return which rows of outputs [B, n, size] are finite, [B, n] bool; −inf is a logit too."""
    return values.detach().amax(-1) < torch.inf  # NaN is not less


def finite_scores(lse: Tensor) -> Tensor:
    """Return at which queries of a call's `lse` [B, H, N] all scores are finite, [B, N] bool.

    In the first call that shows any, these are the tokens that are wrong themselves: from there on
    0 × inf may spoil every row.
    """
    return finite_rows(lse.transpose(1, 2))


def why_not_finite(own: Tensor) -> str | None:
    """Return what the model's own outputs [1, n, size] show, None where they are finite."""
    rows = np.flatnonzero(~finite_rows(own)[0].cpu().numpy())
    return not_finite_from(int(rows[0])) if rows.size else None


def rows_of_output(output: object, queries: int) -> Tensor | None:
    """Return which rows of a pass's output are finite, [B, queries] bool; None where unknown.

    An output of the last rows alone says nothing of those before them: they count as finite.
    """
    logits = getattr(output, "logits", None)
    values = logits if isinstance(logits, Tensor) else getattr(output, "last_hidden_state", None)
    if not isinstance(values, Tensor) or values.ndim != 3 or values.shape[1] > queries:
        return None
    rows = torch.ones(len(values), queries, dtype=torch.bool)
    rows[:, queries - values.shape[1] :] = finite_rows(values).cpu()
    return rows

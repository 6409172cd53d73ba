"""Ridge regression from sums: one pass over the rows, of which only Gram matrices are kept."""

from __future__ import annotations

import torch
from torch import Tensor

from attentropy.engine.translator.translator import AffineMap

_TINY = 1e-12


class RidgeSums:
    """Sums over rows (x, y), [n, d] each: of both, of x xᵀ and of x yᵀ, in float64.

    They are taken about the means of the first rows. Residuals have a large mean, whose square
    would otherwise take the digits of what varies.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.float64, device=device)

        self.rows = 0
        self._origin: tuple[Tensor, Tensor] | None = None
        self._x, self._y = zeros(width), zeros(width)
        self._xx, self._xy = zeros(width, width), zeros(width, width)

    @staticmethod
    def nbytes(width: int) -> int:
        """Return the bytes of the sums, and of the matrices that `solve` makes of them."""
        return 8 * width * (2 * width + 2)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add rows, in float32."""
        x, y = x.to(self._x.device), y.to(self._x.device)
        if self._origin is None:
            self._origin = x.mean(0), y.mean(0)
        x, y = x - self._origin[0], y - self._origin[1]
        self.rows += len(x)
        self._x += x.double().sum(0)
        self._y += y.double().sum(0)
        self._xx += x.T @ x
        self._xy += x.T @ y

    def solve(self, penalty: float) -> AffineMap:
        """Return the map that is least squares with a ridge penalty, in float32.

        The penalty is in units of each feature's variance: with standardised features, W minimises
        mean |y − x W|² + penalty · |W|². Where x says nothing, y is its mean.
        """
        assert self._origin is not None
        mean_x, mean_y = self._x / self.rows, self._y / self.rows
        covariance = self._xx / self.rows - torch.outer(mean_x, mean_x)
        cross = self._xy / self.rows - torch.outer(mean_x, mean_y)
        scale = covariance.diagonal().clamp_min(_TINY).sqrt()
        penalised = covariance / scale[:, None] / scale
        penalised.diagonal().add_(penalty)
        factor = torch.linalg.cholesky(penalised)
        weight = torch.cholesky_solve(cross / scale[:, None], factor) / scale[:, None]
        origin_x, origin_y = self._origin
        bias = mean_y + origin_y - (mean_x + origin_x) @ weight
        return AffineMap(weight.T.float().contiguous(), bias.float())

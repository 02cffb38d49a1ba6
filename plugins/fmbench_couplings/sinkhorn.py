"""The coupling by entropic optimal transport within a batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt

from fmbench import Coupling
from fmbench_couplings._transport import squared_distances

if TYPE_CHECKING:
    from torch import Generator, Tensor

CHECK_EVERY = 10


class Sinkhorn(Coupling):
    """Draws the pairs of a batch from the entropic plan P = argmin <P, C> - reg H(P), with C = |x_0 - x_1|^2.

    Small `reg` comes close to minibatch_ot, large `reg` to independent; 2 sigma^2 makes schrodinger_bridge the bridge
    of its sigma. `reg` is in units of C, which grows with the dimension: 0.05 is small for points and tiny for images.

    Each x_1, in random order, draws its x_0 from its column of the plan, among those not taken yet. torchcfm draws with
    replacement, which follows the plan exactly and leaves a third of the batch unused; here every example stays once.

    Args:
        reg: weight of the entropy, above 0.
        iterations: at most so many Sinkhorn iterations; the smaller `reg`, the more it takes.
        tolerance: they end before where the plan's row sums are right to this fraction.

    Source: Cuturi 2013 (arXiv:1306.0895), in logarithms (Peyre and Cuturi 2019, arXiv:1803.00567, eq. 4.43); Tong et
    al. 2024 (arXiv:2302.00482), section 3.2.4.
    """

    reference = "Cuturi 2013, Sinkhorn Distances (arXiv:1306.0895); Tong et al. 2024 (arXiv:2302.00482), section 3.2.4"

    def __init__(
        self,
        *,
        reg: Annotated[float, Gt(0)] = 0.05,
        iterations: Annotated[int, Ge(1)] = 1000,
        tolerance: Annotated[float, Gt(0)] = 1e-4,
    ) -> None:
        self.reg = reg
        self.iterations = iterations
        self.tolerance = tolerance

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return `x_0` in the order of its partners, `x_1` and `y` as they are; draws from `generator`."""
        rows = _draw_rows(self.log_plan(x_0, x_1), generator)
        return x_0[rows], x_1, y

    def log_plan(self, x_0: Tensor, x_1: Tensor) -> Tensor:
        """Return ln P in float64, `(batch, batch)`; P's columns sum to 1/batch, its rows up to the tolerance."""
        scaled = squared_distances(x_0, x_1) / -self.reg
        share = -math.log(len(scaled))
        f = torch.zeros(len(scaled), dtype=scaled.dtype, device=scaled.device)
        for iteration in range(1, self.iterations + 1):
            g = share - torch.logsumexp(scaled + f[:, None], dim=0)
            f_next = share - torch.logsumexp(scaled + g[None, :], dim=1)
            # f_next - f is the logarithm by which the rows are off. Comparing waits for the device: not every time.
            if iteration % CHECK_EVERY == 0 and float((f_next - f).abs().max()) <= self.tolerance:
                break
            f = f_next
        return scaled + f[:, None] + (share - torch.logsumexp(scaled + f[:, None], dim=0))


def _draw_rows(log_plan: Tensor, generator: Generator) -> Tensor:
    """Draw for each column, in random order, a row not taken before, with the column's weights: a permutation."""
    n, device = len(log_plan), log_plan.device
    order = torch.randperm(n, generator=generator, device=device).tolist()
    uniform = torch.rand(n, n, generator=generator, device=device, dtype=torch.float64)
    # The largest of log-weights plus Gumbel noise is a draw by weight, and no weight is too small for a logarithm.
    gumbel = -torch.log(-torch.log(uniform.clamp(min=1e-300)))
    scores = (log_plan + gumbel).T.cpu().numpy()
    rows = [0] * n
    for column in order:
        rows[column] = int(scores[column].argmax())
        scores[:, rows[column]] = -math.inf
    return torch.tensor(rows, device=device)

"""EDM's distribution of noise levels, as a distribution of t."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt

from fmbench import TDistribution
from fmbench_t_distributions.logit_normal import LogitNormal

if TYPE_CHECKING:
    from torch import Tensor


class EDM(TDistribution):
    """The distribution of t = 1/(1 + sigma) with ln sigma ~ N(mean, std^2): EDM's noise levels on the linear path.

    sigma = (1-t)/t is the linear path's noise-to-data ratio, so logit t = -ln sigma: a logit-normal with mean `-mean`.

    Args:
        mean: of ln sigma (EDM's P_mean); below 0 it favours times near the data.
        std: standard deviation of ln sigma (EDM's P_std), above 0.

    Source: Karras et al. 2022 (arXiv:2206.00364), table 1, p_train.
    """

    reference = "Karras et al. 2022, Elucidating the Design Space (arXiv:2206.00364), table 1"

    def __init__(self, *, mean: float = -1.2, std: Annotated[float, Gt(0)] = 1.2) -> None:
        self.mean = mean
        self.std = std
        self._in_data_time = LogitNormal(mean=-mean, std=std)

    def quantile(self, u: Tensor) -> Tensor:
        """Return sigmoid(-mean + std Phi^-1(u)), computed in float64, in the dtype of `u`."""
        return self._in_data_time.quantile(u)

    def density(self, t: Tensor) -> Tensor:
        """Return N(logit t; -mean, std) / (t (1-t)), in the dtype of `t`; at the ends it is its limit, 0."""
        return self._in_data_time.density(t)

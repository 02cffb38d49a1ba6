"""Whether each mode of the data has its share of the samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fmbench_metrics.mixture_modes import ModesMetric, responsibilities

if TYPE_CHECKING:
    from fmbench import Evidence


class ModeShares(ModesMetric):
    """Total variation between the modes' shares of the samples and their weights: 1/2 sum_k |s_k - w_k|, from 0 to 1.

    A mode's share s_k is the mean over samples of its probability given the sample, p(k|x), by Bayes' rule for the
    exact mixture. For samples of the data's own distribution it is w_k in expectation, also where modes overlap, so
    that what is left is the noise of their number: in the mean at most sum_k sqrt(w_k (1 - w_k) / (2 pi n)), about. A
    sample that lies far from all modes counts for the one that it is nearest to: missed_modes and distances see it.

    Source: Gibbs and Su 2002 (arXiv:math/0209021) for the distance; the posterior is Bayes' rule.
    """

    reference = "Gibbs and Su 2002, On Choosing and Bounding Probability Metrics (arXiv:math/0209021)"

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the total variation distance. Raises DataError where the data are no known mixture."""
        mixture = self.mixture(evidence)
        shares = responsibilities(mixture, self.points(evidence)).mean(1)
        return {"mode_shares": float((shares - mixture.weights.to(shares)).abs().sum() / 2)}

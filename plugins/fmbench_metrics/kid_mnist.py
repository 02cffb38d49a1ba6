"""KID for grey pictures of 28x28, by a small extractor trained on mnist."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnMnist
from fmbench_metrics.kernel import KernelDistance


class KIDMnist(OnMnist, KernelDistance):
    """KID of 1x28x28 pictures with 32 features of a LeNet trained on mnist; not to be compared with published KIDs."""

    value_name = "kid_mnist"

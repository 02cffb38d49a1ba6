"""KID for grey pictures of 8x8, by a small extractor trained on digits."""

from __future__ import annotations

from fmbench_metrics.feature_metric import OnDigits
from fmbench_metrics.kernel import KernelDistance


class KIDDigits(OnDigits, KernelDistance):
    """KID of 1x8x8 pictures with 32 features of a LeNet trained on digits; not to be compared with published KIDs."""

    value_name = "kid_digits"

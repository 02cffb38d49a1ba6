"""scikit-learn's handwritten digits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fmbench import Dataset
from fmbench_datasets.splits import HeldOut, Split, stratified

if TYPE_CHECKING:
    from torch import Tensor


class Digits(Dataset):
    """1,797 real scans of handwritten digits, 1x8x8, from scikit-learn's package: 1,437 train, 360 test.

    The grey levels 0..16 become -1..1 in exact steps of 1/8. Classes are the digits; the split is stratified.

    Args:
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits; sklearn.datasets.load_digits"
    provides = ("images", "classes", "digits_8x8", "normal_source")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {
            0.0: {},
            ...: {"provides": ("images", "classes", "digits_8x8", "normal_source", "validation")},
        }
    }
    omitted_defaults = ("validation",)
    shape = (1, 8, 8)
    classes = 10

    def __init__(self, *, validation: HeldOut = 0.0) -> None:
        self.validation = validation

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return images in [-1, 1], float32 `(n, 1, 8, 8)`, and digits, int64 `(n,)`."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        y = torch.from_numpy(bunch.target).long()
        x = torch.from_numpy(bunch.images).float()[:, None] / 8 - 1
        kept = stratified(y, split, self.validation)
        return x[kept], y[kept]

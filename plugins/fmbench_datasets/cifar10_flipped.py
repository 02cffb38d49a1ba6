"""CIFAR-10 with random horizontal flips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_datasets.cifar10 import Cifar10
from fmbench_datasets.flips import with_mirror_images

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench_datasets.splits import Split


class Cifar10Flipped(Cifar10):
    """CIFAR-10 with each training picture flipped horizontally with probability 1/2; the test split is as it is.

    The training split is 100,000 pictures: each of the 50,000, and its mirror image. It is also what FID and its like
    compare with when their `reference` is "train", as it is by default, so that they are compared with pictures and
    mirror images both; published FIDs of CIFAR-10 are against the 50,000 alone.

    Args:
        root: the folder of torchvision's datasets, which holds `cifar-10-batches-py`; null for torchvision's own.
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "Ho et al. 2020 (arXiv:2006.11239), appendix B: random horizontal flips; torchvision.datasets.CIFAR10"

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return what cifar10 returns, and mirror images `(n, 3, 32, 32)` too in the training split."""
        x, y = super().load(split)
        return with_mirror_images(x, y) if split == "train" else (x, y)

"""Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fmbench_datasets.idx_images import IdxImages


class FashionMnist(IdxImages):
    """Fashion-MNIST: 70,000 pictures of clothes, 1x28x28, 60,000 train and 10,000 test, downloaded at first use.

    Without `root` the files lie where torchvision keeps its own, in `datasets/vision` of TORCH_HOME (~/.cache/torch).
    `root` counts in a cell's key: set TORCH_HOME to move data without computing anything again.

    Args:
        root: the folder of torchvision's datasets, which holds `FashionMNIST/raw`; null for torchvision's own.
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "Xiao et al. 2017, Fashion-MNIST (arXiv:1708.07747); torchvision.datasets.FashionMNIST"
    provides = ("images", "classes", "normal_source")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {0.0: {}, ...: {"provides": ("images", "classes", "normal_source", "validation")}}
    }
    omitted_defaults = ("validation",)
    title = "FashionMNIST"

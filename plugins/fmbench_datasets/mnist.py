"""MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from fmbench_datasets.idx_images import IdxImages


class Mnist(IdxImages):
    """MNIST: 70,000 scans of handwritten digits, 1x28x28, 60,000 train and 10,000 test, downloaded at first use.

    Without `root` the files lie where torchvision keeps its own, in `datasets/vision` of TORCH_HOME (~/.cache/torch).
    `root` counts in a cell's key: set TORCH_HOME to move data without computing anything again.

    Args:
        root: the folder of torchvision's datasets, which holds `MNIST/raw`; null for torchvision's own.
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "LeCun et al. 1998, MNIST; torchvision.datasets.MNIST"
    provides = ("images", "classes", "digits_28x28", "normal_source")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {0.0: {}, ...: {"provides": ("images", "classes", "digits_28x28", "normal_source", "validation")}}
    }
    omitted_defaults = ("validation",)
    title = "MNIST"

"""CIFAR-10."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fmbench import DataError, Dataset
from fmbench_datasets.downloads import Archive, dataset_root, fetch, locked
from fmbench_datasets.splits import HeldOut, Split, training_part

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from torchvision.datasets import CIFAR10


class Cifar10(Dataset):
    """CIFAR-10: 60,000 colour photographs, 3x32x32, 50,000 train and 10,000 test, downloaded at first use.

    Without `root` the files lie where torchvision keeps its own, in `datasets/vision` of TORCH_HOME (~/.cache/torch).
    `root` counts in a cell's key: set TORCH_HOME to move data without computing anything again.

    Args:
        root: the folder of torchvision's datasets, which holds `cifar-10-batches-py`; null for torchvision's own.
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "Krizhevsky 2009, Learning Multiple Layers of Features; torchvision.datasets.CIFAR10"
    provides = ("images", "classes", "normal_source")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {0.0: {}, ...: {"provides": ("images", "classes", "normal_source", "validation")}}
    }
    omitted_defaults = ("validation",)
    shape = (3, 32, 32)
    classes = 10

    def __init__(self, *, root: str | None = None, validation: HeldOut = 0.0) -> None:
        self.root = root
        self.validation = validation

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return images in [-1, 1], float32 `(n, 3, 32, 32)`, and classes, int64 `(n,)`, in torchvision's order.

        Downloads and unpacks what is not there. Raises DataError where that fails.
        """
        data = _open(dataset_root(self.root), train=split != "test")
        x = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        y = torch.tensor(data.targets)
        if split != "test":
            x, y = training_part(x, y, split, self.validation)
        return x.float().div_(127.5).sub_(1), y


def _open(root: Path, *, train: bool) -> CIFAR10:
    """Return torchvision's dataset, which checks every file's checksum before it reads one."""
    from torchvision.datasets import CIFAR10

    with warnings.catch_warnings():
        # The files were pickled by an old numpy, in a way of which numpy 2.4.0 to 2.4.4 complain (numpy#31177).
        warnings.filterwarnings("ignore", message=r"dtype\(\): align")
        try:
            return CIFAR10(root, train=train)
        except RuntimeError:
            fetch(root, [Archive(CIFAR10.filename, CIFAR10.tgz_md5, (CIFAR10.url,))], CIFAR10.__name__)
        try:
            with locked(root, CIFAR10.__name__):
                return CIFAR10(root, train=train, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{root / CIFAR10.base_folder} cannot be made from {CIFAR10.filename} ({error}). Remove that folder, "
                "see that the disk is not full, and run again."
            ) from error

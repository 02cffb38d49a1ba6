"""The datasets in MNIST's format."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, ClassVar

import torch

from fmbench import Dataset
from fmbench_datasets.downloads import Archive, dataset_root, fetch
from fmbench_datasets.splits import HeldOut, Split, training_part

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


class IdxImages(Dataset):
    """60,000 grey 28x28 images of ten classes to train and 10,000 to test, read from torchvision's gzip files.

    The archives are what is read: only they have checksums, while an unpacked file may be half of one.

    Attributes:
        title: the dataset's name in torchvision.
    """

    title: ClassVar[str] = ""
    shape = (1, 28, 28)
    classes = 10

    def __init__(self, *, root: str | None = None, validation: HeldOut = 0.0) -> None:
        self.root = root
        self.validation = validation

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return images in [-1, 1], float32 `(n, 1, 28, 28)`, and classes, int64 `(n,)`, in torchvision's order.

        Downloads what is not there. Raises DataError where that fails.
        """
        import torchvision.datasets

        known = getattr(torchvision.datasets, self.title)
        archives = [Archive(name, md5, tuple(url + name for url in known.mirrors)) for name, md5 in known.resources]
        paths = fetch(dataset_root(self.root) / self.title / "raw", archives, self.title)
        x, y = map(_numbers, paths[2:] if split == "test" else paths[:2])
        y = y.long()
        if split != "test":
            x, y = training_part(x, y, split, self.validation)
        return x[:, None].float().div_(127.5).sub_(1), y


def _numbers(path: Path) -> Tensor:
    """Return the bytes of a gzipped IDX file, uint8 of the shape that its header tells."""
    content = bytearray(gzip.decompress(path.read_bytes()))  # key: the checksum stands in the code
    start = 4 + 4 * content[3]
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(shape)

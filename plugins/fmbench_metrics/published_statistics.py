"""Means and covariances of features as others publish them: an .npz with mu and sigma."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from fmbench import DataError
from fmbench_metrics.gaussians import Target
from fmbench_metrics.memory import content_hash
from fmbench_metrics.weights_file import state_of

if TYPE_CHECKING:
    from torch import Tensor

SYMMETRIC = 1e-6
"""By how much of its largest entry a covariance may differ from its transpose."""
POSITIVE = 1e-4
"""By how much of the largest eigenvalue one may lie below nought: covariances are also kept in float32."""
BROKEN = (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive raises; NumPy asks for as much memory as a header tells of."""


@dataclass(frozen=True)
class Statistics:
    """A mean `(d,)` and a covariance `(d, d)`, float64, on the CPU; `content_hash` is that of both."""

    mean: Tensor
    covariance: Tensor
    content_hash: str

    @property
    def dimensions(self) -> int:
        """Number of features."""
        return len(self.mean)


def statistics_of(file: str, keys: tuple[str, str]) -> Statistics:
    """Return the statistics that an .npz holds under two keys: mean, then covariance.

    Raises DataError where the file is not there, or does not hold them.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise DataError(f"reference is train, test or a file of statistics (.npz); {path} is not there.")
    return _read(path, *state_of(path), keys)


def target_on(file: str, keys: tuple[str, str], device: str) -> Target:
    """Return the Gaussian of an .npz on a device: on the CPU where that may have no float64."""
    path = Path(file).expanduser()
    return _target(path, *state_of(path), keys, device if device.startswith("cuda") else "cpu")


@lru_cache(maxsize=4)
def _target(path: Path, changed: int, size: int, keys: tuple[str, str], device: str) -> Target:
    found = _read(path, changed, size, keys)
    return Target.with_covariance(found.mean.to(device), found.covariance.to(device))


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int, keys: tuple[str, str]) -> Statistics:
    try:
        archive = np.load(path, allow_pickle=False)  # key: metrics name it in `content`
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"{path} must be an .npz with {' and '.join(keys)}; found a single array.")
        with archive:
            if missing := [key for key in keys if key not in archive]:
                held = ", ".join(archive.files) or "nothing"
                raise DataError(
                    f"{path} must hold {' and '.join(keys)}; it lacks {', '.join(missing)} and holds {held}."
                )
            held = [archive[key] for key in keys]
        if not all(np.can_cast(each.dtype, np.float64, "same_kind") for each in held):
            raise ValueError(f"its arrays are of {' and '.join(str(each.dtype) for each in held)}")
        mean, covariance = (torch.from_numpy(each.astype(np.float64)) for each in held)
    except BROKEN as error:
        raise DataError(f"{path} is not an .npz that can be read ({error}).") from error
    if mean.ndim != 1 or not len(mean) or covariance.shape != (len(mean), len(mean)):
        raise DataError(
            f"{path} must hold a mean (d,) as {keys[0]} and a covariance (d, d) as {keys[1]}; found shapes "
            f"{tuple(mean.shape)} and {tuple(covariance.shape)}."
        )
    if not bool(torch.isfinite(mean).all() and torch.isfinite(covariance).all()):
        raise DataError(f"{path} holds values that are not finite.")
    if float((covariance - covariance.mT).abs().max()) > SYMMETRIC * float(covariance.abs().max()):
        raise DataError(f"{path} must hold a covariance as {keys[1]}, which is symmetric; this one is not.")
    eigenvalues = torch.linalg.eigvalsh((covariance + covariance.mT) / 2)
    if float(eigenvalues[0]) < -POSITIVE * max(float(eigenvalues[-1]), 0.0):
        raise DataError(
            f"{path} must hold a covariance as {keys[1]}, which has no negative eigenvalue; the least of this one is "
            f"{float(eigenvalues[0]):.3g}, the largest {float(eigenvalues[-1]):.3g}."
        )
    return Statistics(mean, (covariance + covariance.mT) / 2, content_hash(torch.cat([mean[None], covariance])))

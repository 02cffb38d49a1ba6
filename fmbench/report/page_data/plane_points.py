"""Points of the plane as integers within a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmbench.report.page_data.json_text import Number, numbers

LEVELS = 1023
"""The integer that stands for the frame's far edge; 0 stands for the near one."""


@dataclass(frozen=True)
class Frame:
    """The corners of the part of the plane that is shown."""

    low: NDArray[Any]
    high: NDArray[Any]

    @property
    def corners(self) -> list[Number]:
        """Left, lower, right and upper edge."""
        return numbers(map(float, (*self.low, *self.high)), 6)


def quantised(points: NDArray[Any], frame: Frame) -> list[int]:
    """Return points `(n, 2)` as x, y, x, y and so on; what lies outside the frame, or nowhere, is left out."""
    levels = levels_of(points, frame)
    inside = ((levels >= 0) & (levels <= LEVELS)).all(axis=1)
    return [int(level) for level in levels[inside].astype(int).ravel()]


def levels_of(points: NDArray[Any], frame: Frame) -> NDArray[np.float64]:
    """Return the whole numbers that stand for points `(n, 2)`: beyond 0 or LEVELS outside the frame, -1 for nowhere."""
    share = (points.astype(np.float64) - frame.low) / (frame.high - frame.low)
    return np.where(np.isfinite(share), np.round(np.nan_to_num(share) * LEVELS), -1.0)

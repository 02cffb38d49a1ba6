"""Pictures as arrays: samples laid out as a grid. Imports numpy and nothing of fmbench."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BACKGROUND = 255


def to_uint8(samples: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Map [-1, 1] to 0..255 as the metrics do: `x * 127.5 + 128`, clipped and floored, so 8-bit levels return exactly.

    What is not a number becomes 0 (black), so that a broken sample stays visible as one.
    """
    within = np.nan_to_num(np.clip(np.asarray(samples, dtype=np.float64), -2.0, 2.0), nan=-1.0)
    levels = np.clip(within * 127.5 + 128.0, 0, 255)
    return levels.astype(np.uint8)


def grid_of_images(
    samples: NDArray[np.floating], columns: int, pad: int = 1, scale: int = 1, background: int = BACKGROUND
) -> NDArray[np.uint8]:
    """Lay `(n, c, h, w)` samples in [-1, 1] out row by row as one picture, uint8 `(height, width, 3)`.

    Every picture is enlarged `scale` times and framed by `pad` pixels of `background`, also at the rim. One channel
    is shown grey; of more than three, the first three. Raises ValueError for other shapes, or when columns or scale
    is under 1.
    """
    if samples.ndim != 4 or samples.shape[1] < 1 or samples.shape[1] == 2:
        raise ValueError(f"a grid needs samples of shape (n, 1 or 3, height, width); found {samples.shape}")
    if columns < 1 or scale < 1 or pad < 0:
        raise ValueError(f"columns and scale must be at least 1, pad at least 0; found {columns}, {scale}, {pad}")
    n, channels, height, width = samples.shape
    pixels = to_uint8(samples[:, :3] if channels > 3 else samples)
    pixels = np.broadcast_to(pixels, (n, 3, height, width)).transpose(0, 2, 3, 1)
    pixels = pixels.repeat(scale, axis=1).repeat(scale, axis=2)
    height, width, rows = height * scale, width * scale, -(-n // columns)
    shape = (rows * (height + pad) + pad, columns * (width + pad) + pad, 3)
    grid = np.full(shape, background, dtype=np.uint8)
    for i in range(n):
        top, left = pad + (i // columns) * (height + pad), pad + (i % columns) * (width + pad)
        grid[top : top + height, left : left + width] = pixels[i]
    return grid


def shrunk(samples: NDArray[np.floating], by: int) -> NDArray[np.floating]:
    """Return `(n, c, h, w)` samples as `(n, c, h // by, w // by)`: means of squares of pixels."""
    if by == 1:
        return samples
    n, c, h, w = samples.shape
    h, w = max(h // by, 1), max(w // by, 1)
    by_h, by_w = samples.shape[2] // h, samples.shape[3] // w
    cut = samples[:, :, : h * by_h, : w * by_w]
    smaller: NDArray[np.floating] = cut.reshape(n, c, h, by_h, w, by_w).mean(axis=(3, 5))
    return smaller

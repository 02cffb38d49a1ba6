"""Sample files as the pictures that MLflow's image grid reads.

`MlflowClient.log_image` takes 18 ms an image, sends each file on its own and names it at random, so that logging a run
again would double its pictures. Here the files have its names, but a fixed identifier, and go together.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmbench.results.image_grid import grid_of_images
from fmbench.tracking.run_content import Part

MOST_SAMPLES, COLUMNS, SIDE = 64, 8, 256
MOST_POINTS = 2000
FOLDER = "images"


def write_pictures(parts: Iterable[Part], folder: Path, stamp: int) -> int:
    """Write the pictures of parts that have samples into `folder` and return how many there are.

    `stamp` (milliseconds) is part of the files' names; the same parts and stamp give the same names.
    """
    from PIL import Image

    count = 0
    for part in parts:
        picture = picture_of(part.samples) if part.samples is not None and part.samples.exists() else None
        if picture is None:
            continue
        identifier = uuid.uuid5(uuid.NAMESPACE_OID, part.key)
        stem = f"samples+step+{part.step}+timestamp+{stamp}+{identifier}"
        grey = bool((picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all())
        image = Image.fromarray(picture[..., 0] if grey else picture)
        image.save(folder / f"{stem}.png", compress_level=1)
        image.thumbnail((SIDE, SIDE))
        image.save(folder / f"{stem}+compressed.webp", lossless=True, method=0, quality=0)  # 0.8 ms; lossy takes 3 to 8
        count += 1
    return count


def picture_of(file: Path) -> NDArray[np.uint8] | None:
    """Return the first samples of a file as a picture, uint8 `(H, W, 3)`; None where it holds no such data."""
    from safetensors import SafetensorError, safe_open

    with suppress(OSError, SafetensorError), safe_open(file, framework="np") as tensors:
        samples: Any = tensors.get_slice("samples")
        shape = samples.get_shape()
        if len(shape) == 4 and shape[0] and shape[1] in (1, 3):
            columns = min(COLUMNS, shape[0])
            return grid_of_images(
                samples[: min(MOST_SAMPLES, shape[0])], columns, scale=max(1, SIDE // (columns * (shape[3] + 1)))
            )
        if len(shape) == 2 and shape[1] == 2 and shape[0]:
            return scatter(samples[: min(MOST_POINTS, shape[0])])
    return None


def scatter(points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Draw points `(n, 2)` as dots, uint8 `(SIDE, SIDE, 3)`, on axes from -r to r upwards.

    `r` is the 99th percentile of the largest coordinates, rounded up, so that runs and NFE mostly share it.
    """
    finite = points[np.isfinite(points).all(axis=1)]
    canvas = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    if not len(finite):
        return canvas
    reach = float(np.ceil(np.quantile(np.abs(finite).max(axis=1), 0.99) + 0.05))
    inside = finite[np.abs(finite).max(axis=1) < reach]
    place = ((inside / reach + 1) / 2 * (SIDE - 2)).astype(int)
    for right, up in product((0, 1), repeat=2):
        canvas[SIDE - 1 - (place[:, 1] + up), place[:, 0] + right] = (31, 78, 121)
    return canvas

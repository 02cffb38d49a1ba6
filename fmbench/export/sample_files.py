"""Samples as files: a picture where one can be drawn, or arrays."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fmbench.errors import StoreError, UserError
from fmbench.export.drawing import DrawnSamples
from fmbench.io.whole_files import write_whole
from fmbench.results.image_grid import grid_of_images

PICTURES, ARRAYS = (".png",), (".npz", ".npy")
LEAST_WIDTH = 512
"""Pixels that a grid of pictures is wide at least, where it can be."""
MODE = 0o644


def check_file(path: Path, force: bool) -> None:
    """Raise UserError where a file of this name cannot be made, or is there and `force` does not overwrite it."""
    if path.suffix.lower() not in (*PICTURES, *ARRAYS):
        choices = ", ".join((*PICTURES, *ARRAYS))
        raise UserError(f"the suffix of {path} says what is written: {choices}; found {path.suffix or 'none'!r}")
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file with -o")
    if path.exists() and not force:
        raise UserError(f"{path} is there already: give another name with -o, or --force to overwrite it")


def write_samples(path: Path, drawn: DrawnSamples) -> None:
    """Write samples to a file. Raises UserError where a picture is asked for, and they are none."""
    samples = drawn.samples.numpy()
    payload = _arrays(path, samples, drawn) if path.suffix.lower() in ARRAYS else _picture(samples)
    try:
        write_whole(path, payload, flush=False, mode=MODE)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}; choose another with -o") from error


def _arrays(path: Path, samples: NDArray[np.floating], drawn: DrawnSamples) -> bytes:
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npy":
        np.save(buffer, samples)
    else:
        labels = {} if drawn.labels is None else {"labels": drawn.labels.cpu().numpy()}
        np.savez(buffer, **{"samples": samples, **labels})  # type: ignore[arg-type]
    return buffer.getvalue()


def _picture(samples: NDArray[np.floating]) -> bytes:
    if samples.ndim == 4 and samples.shape[1] != 2:
        return _grid(samples)
    if samples.ndim == 2 and samples.shape[1] == 2:
        return _scatter(samples)
    raise UserError(f"samples of shape {samples.shape[1:]} are neither pictures nor points in the plane: take -o x.npz")


def _grid(samples: NDArray[np.floating]) -> bytes:
    from PIL import Image

    columns = math.ceil(math.sqrt(len(samples)))
    scale = max(1, LEAST_WIDTH // (columns * samples.shape[3]))
    buffer = io.BytesIO()
    Image.fromarray(grid_of_images(samples, columns, scale=scale)).save(buffer, "PNG")
    return buffer.getvalue()


def _scatter(samples: NDArray[np.floating]) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.scatter(samples[:, 0], samples[:, 1], s=max(2.0, min(12.0, 6000 / len(samples))), alpha=0.6, linewidths=0)
    axes.set_aspect("equal", adjustable="datalim")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

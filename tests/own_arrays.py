"""Arrays that tests write as people would, and the dataset that reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from torch import Tensor
from typer.testing import CliRunner

from fmbench.cli.app import app
from fmbench.plugins.registry import load_registry

REGISTRY = load_registry()
RANDOM = np.random.default_rng(0)
POINTS = RANDOM.normal(size=(50, 3)).astype(np.float32)
LEVELS = RANDOM.integers(0, 256, (50, 1, 4, 5), dtype=np.uint8)
LABELS = np.arange(50) % 4


def written(file: Path, **arrays: np.ndarray) -> str:
    """Write arrays in the format of a file's suffix; return the file's name."""
    if file.suffix == ".npy":
        (array,) = arrays.values()
        np.save(file, array)
    elif file.suffix == ".npz":
        np.savez_compressed(file, **arrays)
    else:
        safetensors.numpy.save_file(arrays, file)
    return str(file)


def built(file: str, **parameters: Any) -> Any:
    return REGISTRY.build(REGISTRY.spec("dataset", "arrays", {"file": file, **parameters}))


def both(dataset: Any) -> Tensor:
    """Return the rows of both splits, sorted, `(n, numbers of a row)`."""
    rows = torch.cat([dataset.load(split)[0] for split in ("train", "test")]).flatten(1)
    return torch.stack(sorted(rows, key=lambda row: row.tolist()))


def rows_of(array: np.ndarray) -> Tensor:
    return torch.stack(sorted(torch.from_numpy(array).float().flatten(1), key=lambda row: row.tolist()))


SUITE = """
name: own
datasets: [{arrays: {file: x.npy}}]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  steps: 9
  batch_size: 8
  optimizer: {adam: {lr: 1e-3}}
evaluation: {solvers: [euler, ancestral], nfe: [2], samples: 20, metrics: [sliced_wasserstein]}
"""


def planned(*overrides: str) -> Any:
    Path("own.yaml").write_text(SUITE)
    sets = [part for each in overrides for part in ("--set", each)]
    return CliRunner().invoke(app, ["plan", "own.yaml", "--home", "store", *sets])

"""Where the store keeps what is no cell: real samples for figures, densities of t-distributions, contents of files."""

from __future__ import annotations

from pathlib import Path

from fmbench.cells.component_spec import ComponentSpec


def real_samples(store: Path, dataset: ComponentSpec) -> Path:
    """Return the file with real test data of a dataset (tensor "samples")."""
    return store / "cache" / f"real-{dataset.digest}.safetensors"


def contents_of_models(store: Path) -> Path:
    """Return the sealed file with the hashes of models' files and folders as they last were, by absolute path."""
    return store / "cache" / "contents-of-models.json"


def t_density(store: Path, t_distribution: ComponentSpec) -> Path:
    """Return the sealed file with a t-distribution's density: "density" at the middles of equal parts of [0, 1]."""
    return store / "cache" / f"t-density-{t_distribution.digest}.json"

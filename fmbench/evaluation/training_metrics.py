"""Metrics of a training: those that judge a trained cell without drawing samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fmbench.cells.component_spec import ComponentSpec
from fmbench.evaluation.metrics import compute_metrics
from fmbench.model.trained_model import Trained


@torch.no_grad()
def measure_training(trained: Trained, metrics: Sequence[ComponentSpec]) -> None:
    """Compute training-scope metrics of a trained cell and leave them in the store."""
    folder = trained.context.store.folder("training", trained.cell.key)
    evidence = trained.evidence(trained.velocity())
    folder.add_metrics(compute_metrics(metrics, trained.cell, evidence, trained.context))

"""The training loss of a training combination, over its seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fmbench.results.records import TrainingRecord


def mean_history(records: Sequence[TrainingRecord]) -> NDArray[np.float64] | None:
    """Return `(4, entries)`: step, and mean, lowest and highest loss over the seeds, at the steps that all have."""
    known = [r for r in records if len(r.history)]
    finished = [dict(r.history) for r in [r for r in known if r.status == "ok"] or known]
    if not finished:
        return None
    steps = sorted(set(finished[0]).intersection(*finished[1:]))
    values = np.array([[history[step] for step in steps] for history in finished], dtype=float)
    keep = np.isfinite(values).all(axis=0)
    if not keep.any():
        return None
    values = values[:, keep]
    return np.stack([np.array(steps, dtype=float)[keep], values.mean(0), values.min(0), values.max(0)])

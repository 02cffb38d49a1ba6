"""Which rows of a page's payload come first where there is room for some only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def headline_columns(dataset: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the columns of a dataset's headline metric; None where it has no means by entry."""
    found = (columns for columns in dataset["metrics"] if columns["metric"] == dataset["headline"])
    return next((columns for columns in found if "mean" in columns), None)


def row_ranks(data: Mapping[str, Any], dataset: Mapping[str, Any]) -> list[float]:
    """Return the best place that each row takes at any NFE by the headline metric; infinity without a value."""
    entries, columns = dataset["entries"], headline_columns(dataset)
    ranks = [math.inf] * len(dataset["rows"]["training"])
    if columns is None:
        return ranks
    sign = -1.0 if data["metrics"][columns["metric"]]["better"] == "higher" else 1.0
    means: dict[int | None, list[tuple[float, int]]] = {}
    for row, budget, mean in zip(entries["row"], entries["nfe"], columns["mean"], strict=True):
        if mean is not None:
            means.setdefault(budget, []).append((sign * mean, row))
    for found in means.values():
        for rank, (_, row) in enumerate(sorted(found)):
            ranks[row] = min(ranks[row], rank)
    return ranks

"""Anybody's arrays, with a condition vector for each example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fmbench_datasets.array_checks import check_vectors
from fmbench_datasets.arrays import Arrays

if TYPE_CHECKING:
    import numpy as np

    from fmbench import StoredArray


class ArraysWithConditions(Arrays):
    """Arrays of one's own as `arrays` reads them, whose `labels` are condition vectors, `(n, condition_width)` numbers.

    They become float32 and are taken as they are: bring their numbers to a scale of about 1. The examples of a split
    stand in the file's order.
    """

    by_parameter: ClassVar[Mapping[str, Any]] = {
        "pictures": {None: {"provides": ("points",)}, ...: {"provides": ("images",)}},
        "labels": {None: {}, ...: {"provides": ("vectors",)}},
        "source": {None: {"provides": ("normal_source",)}},
        "validation": {0.0: {}, ...: {"provides": ("validation",)}},
    }

    def _learn_conditions(self, labels: StoredArray) -> None:
        self.condition_width = check_vectors(labels, self._x).shape[1]

    def _read_conditions(self, labels: StoredArray, examples: StoredArray) -> np.ndarray:
        return check_vectors(labels, examples, self.condition_width)

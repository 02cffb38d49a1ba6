"""C2ST: whether a classifier can tell samples from real data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge

from fmbench import DataError
from fmbench_metrics.values import ValuesMetric

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from fmbench import Evidence
    from fmbench_metrics.values import Compared

FOLDS = 5
LEAST = 20
"""Of samples, and of real data: so that a tenth of what a fold teaches has some of both."""
A_DIMENSION, MOST_HIDDEN = 10, 64
"""Hidden units of each of the two layers: so many for each dimension, and no more than that."""
BATCH, MOST_EPOCHS, PATIENCE = 25, 200, 20
"""A classifier is taught until it has not got better for so many epochs at a tenth that it is not taught."""


class C2ST(ValuesMetric):
    """The share of samples and real data that a classifier tells apart, held out by five-fold cross-validation.

    0.5 where they cannot be told apart, 1 where each is told for what it is; by chance some values are below 0.5, which
    are no better than it. The classifier is scikit-learn's MLPClassifier with two hidden layers of ten units for each
    dimension, up to 64, on values or features that the real data's mean and deviation standardise. It stops when it
    gets no better at a tenth of what it is taught. As many samples as real data take part, drawn at random, the same
    for all cells of a seed. A classifier finds more where it is taught more, so values for different numbers are not to
    be compared.

    Args:
        reference: the split of real data that samples are compared with.
        points: the most samples, and the most real data, that take part.

    Source: Lopez-Paz and Oquab 2017 (arXiv:1610.06545), section 3; the classifier of Lueckmann et al. 2021
    (arXiv:2101.04653) and their sbibm, which has no upper end for the layers, and does not stop early.
    """

    reference = "Lopez-Paz and Oquab 2017, Revisiting Classifier Two-Sample Tests (arXiv:1610.06545), section 3"
    registered_name = "c2st"
    minimum_samples = 100

    def __init__(
        self,
        *,
        extractor: Compared = "none",
        weights: str | None = None,
        reference: Literal["train", "test"] = "test",
        points: Annotated[int, Ge(20)] = 1000,
    ) -> None:
        super().__init__(extractor=extractor, weights=weights, reference=reference)
        self.points = points

    def compute(self, evidence: Evidence) -> Mapping[str, float]:
        """Return the accuracy. Raises DataError where there are fewer than 20 samples or real data."""
        samples, real = self.compared(evidence)
        count = min(len(samples), len(real), self.points)
        if count < LEAST:
            raise DataError(
                f"{self.registered_name} needs at least {LEAST} samples and as many examples in the {self.split} "
                f"split; found {len(samples)} and {len(real)}."
            )
        seed = evidence.generator("c2st").initial_seed()
        generator = torch.Generator().manual_seed(seed)  # on the CPU, so that every device draws alike
        # The real data first: which take part must not depend on the number of samples.
        real, samples = (_some(x, count, generator) for x in (real, samples))
        return {self.registered_name: accuracy(samples, real, seed % 2**32)}

    def identity(self, evidence: Evidence) -> Mapping[str, Any]:
        """Return extractor, reference set, sample count, points, folds, scikit-learn, and what features depend on."""
        made = {"points": self.points, "folds": FOLDS, "scikit_learn": version("scikit-learn")}
        return {**super().identity(evidence), **made}


def accuracy(samples: Tensor, real: Tensor, seed: int) -> float:
    """Return the cross-validated accuracy between `samples` `(n, d)` and `real` `(n, d)`, equally many."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neural_network import MLPClassifier

    mean, spread = real.mean(0), real.std(0)
    spread = torch.where(spread > 0, spread, 1.0)  # what is constant is left as it is
    x = torch.cat([(part - mean) / spread for part in (samples, real)]).double().cpu().numpy()
    y = np.repeat([0, 1], [len(samples), len(real)])
    width = min(A_DIMENSION * x.shape[1], MOST_HIDDEN)
    right = 0
    for train, held in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y):
        taught = {"batch_size": BATCH, "max_iter": MOST_EPOCHS, "early_stopping": True, "n_iter_no_change": PATIENCE}
        classifier = MLPClassifier((width, width), random_state=seed, **taught)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a classifier that is not done is one as well
            classifier.fit(x[train], y[train])
        right += int((classifier.predict(x[held]) == y[held]).sum())
    return right / len(y)


def _some(x: Tensor, count: int, generator: Generator) -> Tensor:
    """Return `count` rows of `x` at random; all of them, as they stand, where there are no more."""
    order = torch.randperm(len(x), generator=generator)
    return x[order[:count].to(x.device)] if len(x) > count else x

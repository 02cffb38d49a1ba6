"""class_wasserstein: what it is made of, what it sees that sliced_wasserstein does not, and what it needs."""

import pytest
import torch

from fmbench import DataError
from fmbench.testing.dummy_components import TwoBlobs
from fmbench.testing.evidence import make_evidence
from fmbench_metrics.class_wasserstein import ClassWasserstein
from fmbench_metrics.sliced_wasserstein import SlicedWasserstein


class OneBlob(TwoBlobs):
    """One class of the two."""

    def __init__(self, label):
        self.label = label

    def load(self, split):
        x, y = super().load(split)
        return x[y == self.label], None


def distances(samples, labels):
    values = ClassWasserstein().compute(make_evidence(TwoBlobs(), samples, labels=labels))
    return values["class_wasserstein"], values["class_wasserstein_worst"]


def sliced(dataset, samples):
    return SlicedWasserstein().compute(make_evidence(dataset, samples))["sliced_wasserstein"]


def test_it_is_sliced_wasserstein_class_by_class():
    samples, labels = TwoBlobs().load("train")
    samples = samples[:900] * 1.5
    alone = [sliced(OneBlob(label), samples[labels[:900] == label]) for label in range(2)]
    mean, worst = distances(samples, labels[:900])
    assert mean == pytest.approx(sum(alone) / 2)
    assert worst == pytest.approx(max(alone))


def test_it_sees_samples_of_the_wrong_class():
    real, labels = TwoBlobs().load("test")
    assert distances(real, labels) == (0, 0)
    assert sliced(TwoBlobs(), real) == 0
    swapped, _ = distances(real, 1 - labels)
    assert swapped > 1


def test_classes_count_the_same():
    real, labels = TwoBlobs().load("test")
    kept = (labels == 0) | (torch.arange(len(real)) < 100)
    real, labels = real.clone(), labels
    real[labels == 1] += 1
    everything, few = distances(real, labels), distances(real[kept], labels[kept])
    assert few == pytest.approx(everything, rel=0.1)


def test_labels_of_every_class_are_needed():
    real, labels = TwoBlobs().load("test")
    with pytest.raises(DataError, match="class_conditional: true"):
        distances(real, None)
    with pytest.raises(DataError, match=r"of \[1\] there are none in 500"):
        distances(real[labels == 0], labels[labels == 0])

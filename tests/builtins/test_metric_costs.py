"""Validation loss, the costs of training and sampling, and evidence that is missing."""

import pytest
import torch
from picture_sets import DIGITS, Pictures, by_name

from fmbench import DataError, PathSample
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_metrics.parameters import Parameters
from fmbench_metrics.peak_memory import PeakMemory
from fmbench_metrics.sample_ms import SampleMs
from fmbench_metrics.sliced_wasserstein import SlicedWasserstein
from fmbench_metrics.train_seconds import TrainSeconds
from fmbench_metrics.validation_loss import ValidationLoss


class Exact(torch.nn.Module):
    """The marginal velocity of the linear path from N(0, I) to N(0, s^2 I)."""

    def __init__(self, s):
        super().__init__()
        self.s = s

    def forward(self, x, t):
        variance = (1 - t) ** 2 + (t * self.s) ** 2
        return ((t * self.s**2 - (1 - t)) / variance)[:, None] * x


def test_validation_loss_of_the_exact_velocity_is_the_irreducible_one():
    s = 0.5
    dataset = Pictures(s * torch.randn(4096, 8, generator=torch.Generator().manual_seed(0)))
    value = ValidationLoss().compute(make_evidence(dataset, module=Exact(s)))["validation_loss"]
    # E Var(x_1 - x_0 | x_t) = s^2 / ((1-t)^2 + t^2 s^2), averaged over t.
    t = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    expected = torch.trapezoid(s**2 / ((1 - t) ** 2 + (t * s) ** 2), t).item()
    assert value == pytest.approx(expected, rel=0.03)
    worse = ValidationLoss().compute(make_evidence(dataset, module=Exact(1.0)))["validation_loss"]
    assert worse > value


def test_validation_loss_does_not_depend_on_the_training_t():
    class Late:
        def quantile(self, u):
            raise AssertionError("validation draws t itself")

    dataset = GaussianMixture(size=400)
    first, again = (
        ValidationLoss().compute(make_evidence(dataset, t_distribution=distribution)) for distribution in (None, Late())
    )
    assert first == again


@pytest.mark.parametrize(("classes", "expected"), [(10, True), (0, False)])
def test_validation_loss_gives_labels_where_the_network_takes_them(classes, expected):
    seen = []

    class Labelled(torch.nn.Module):
        def forward(self, x, t, y=None):
            seen.append(y is not None)
            return x

    evidence = make_evidence(DIGITS, module=Labelled())
    evidence.classes = classes
    ValidationLoss().compute(evidence)
    assert set(seen) == {expected}


def test_validation_loss_covers_t_evenly():
    times = []

    class Straight:
        def sample(self, x_0, x_1, t, generator):
            times.append(t)
            return PathSample(x_0, x_1, t, x_0, x_1)

    ValidationLoss().compute(make_evidence(GaussianMixture(size=40), path=Straight()))
    t = torch.cat(times).sort().values
    middles = (torch.arange(len(t)) + 0.5) / len(t)
    assert ((t - middles).abs() * len(t)).max().item() <= 0.501


def test_costs_are_those_of_the_training():
    evidence = make_evidence(GaussianMixture(size=40))
    assert TrainSeconds().compute(evidence) == {"train_seconds": 2.5}
    assert PeakMemory().compute(evidence) == {"peak_memory": 128.0}
    assert Parameters().compute(evidence) == {"parameters": evidence.training.parameters}
    assert TrainSeconds().identity(evidence)["jobs"] == 1


@pytest.fixture
def clocked(monkeypatch):
    """Return a function that has draws and calibrations take given times, and returns what is drawn."""
    import fmbench_metrics.sample_ms as module

    def clock(draws, calibrations):
        now, drawn = [0.0], []
        draws, calibrations = iter(draws), iter(calibrations)

        def draw(n):
            drawn.append(n)
            now[0] += next(draws)

        def calibrate(matrix):
            now[0] += next(calibrations)

        monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
        monkeypatch.setattr(module, "calibrate", calibrate)
        evidence = make_evidence(GaussianMixture(size=40))
        evidence.draw = draw
        return evidence, drawn

    return clock


def test_sample_ms_is_the_median_a_sample(clocked):
    evidence, drawn = clocked([50.0, 9.0, 1.0, 2.0, 3.0, 4.0, 100.0], [7.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    values = SampleMs(batch=10, repeats=5, warmup=2).compute(evidence)
    assert drawn == [10] * 7
    expected = {"sample_ms": 300.0, "sample_ms_iqr": 200.0, "sample_ms_relative": 3.0, "sample_ms_relative_iqr": 2.0}
    assert values == pytest.approx(expected)
    assert SampleMs(batch=10).identity(evidence)["batch"] == 10


def test_a_slow_machine_changes_the_time_and_not_its_ratio_to_the_calibration(clocked):
    quick, slow = (
        SampleMs(batch=10, repeats=3, warmup=0).compute(clocked([4.0 * k for k in busy], [2.0 * k for k in busy])[0])
        for busy in ((1, 1, 1), (1, 3, 5))
    )
    assert slow["sample_ms"] == 3 * quick["sample_ms"]
    assert slow["sample_ms_relative"] == quick["sample_ms_relative"] == 2.0
    assert slow["sample_ms_relative_iqr"] == 0.0


def test_the_calibration_is_the_same_work_every_time():
    from fmbench_metrics.sample_ms import calibrate, calibration_matrix

    assert calibrate(calibration_matrix("cpu")) == calibrate(calibration_matrix("cpu"))


def test_missing_evidence_is_said():
    evidence = make_evidence(DIGITS)
    evidence.samples = evidence.draw = None
    for metric in (by_name("fid_digits"), by_name("kid_digits"), SlicedWasserstein(), SampleMs()):
        with pytest.raises(DataError, match="this evidence has none"):
            metric.compute(evidence)


def test_trainings_and_samplers_are_timed_beside_the_same_work():
    """Plugin packages import public names only, so that the workload stands twice: both must stay the same."""
    import fmbench_metrics.sample_ms as samplers
    from fmbench.runtime import calibration as trainings

    assert (samplers.SIZE, samplers.ROUNDS) == (trainings.SIZE, trainings.ROUNDS)
    matrix = samplers.calibration_matrix("cpu")
    assert torch.equal(matrix, trainings.calibration_matrix("cpu"))
    assert samplers.calibrate(matrix) == trainings.calibrate(matrix)
    values = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)
    assert samplers.middle(values) == trainings.middle(values)

"""The built-in metrics: agreement with peers' libraries, properties, caches, and bad evidence."""

import hashlib
import json
import logging
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from fmbench import DataError, Dataset, PathSample
from fmbench.testing.evidence import make_evidence
from fmbench_datasets.digits import Digits
from fmbench_datasets.gaussian_mixture import GaussianMixture
from fmbench_datasets.mnist_5k import Mnist5k
from fmbench_metrics import extractors, features, inception, memory
from fmbench_metrics.extractor import small_extractor
from fmbench_metrics.fid import FID
from fmbench_metrics.fid_digits import FIDDigits
from fmbench_metrics.fid_mnist import FIDMnist
from fmbench_metrics.kid import KID
from fmbench_metrics.kid_digits import KIDDigits
from fmbench_metrics.kid_mnist import KIDMnist
from fmbench_metrics.parameters import Parameters
from fmbench_metrics.peak_memory import PeakMemory
from fmbench_metrics.quantiser import quantise
from fmbench_metrics.sample_ms import SampleMs
from fmbench_metrics.sliced_wasserstein import SlicedWasserstein, squared_distances
from fmbench_metrics.train_seconds import TrainSeconds
from fmbench_metrics.validation_loss import ValidationLoss

DIGITS = Digits()
REAL = DIGITS.load("train")[0]
NOISE = torch.randn(1200, 1, 8, 8, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
BLURRED = REAL + 0.2 * torch.randn(REAL.shape, generator=torch.Generator().manual_seed(1))


class Pictures(Dataset):
    """Given tensors as a dataset."""

    def __init__(self, x):
        self.x, self.shape = x, tuple(x.shape[1:])

    def load(self, split):
        return self.x, None


# The quantiser


def test_quantiser_is_exact_for_every_level():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(quantise(levels.float() / 127.5 - 1), levels)
    assert torch.equal(quantise(levels.double() / 255 * 2 - 1), levels)


def test_quantiser_rounds_to_the_nearest_level_and_clips():
    x = torch.linspace(-1.5, 1.5, 10_001, dtype=torch.float64)
    distance = (quantise(x).double() / 127.5 - 1 - x.clamp(-1, 1)).abs()
    assert distance.max().item() <= 0.5 / 127.5 + 1e-12


# FID and KID with the small extractors


@pytest.mark.parametrize("metric", [FIDDigits(), KIDDigits()])
def test_better_pictures_score_better(metric):
    same, blurred, noise = (metric.compute(make_evidence(DIGITS, x))[metric.value_name] for x in (REAL, BLURRED, NOISE))
    assert same < blurred < noise


def test_fid_of_a_set_with_itself_is_nought():
    assert abs(FIDDigits().compute(make_evidence(DIGITS, REAL))["fid_digits"]) < 1e-5


def test_kid_of_a_set_with_itself_is_near_nought():
    values = KIDDigits().compute(make_evidence(DIGITS, REAL))
    assert list(values) == ["kid_digits", "kid_digits_std"]
    noise = KIDDigits().compute(make_evidence(DIGITS, NOISE))["kid_digits"]
    # The unbiased estimate falls a little below nought where the two subsets share pictures.
    assert -0.05 * noise < values["kid_digits"] <= 0


def test_fid_does_not_depend_on_the_order():
    order = torch.randperm(len(BLURRED), generator=torch.Generator().manual_seed(2))
    first, again = (FIDDigits().compute(make_evidence(DIGITS, x))["fid_digits"] for x in (BLURRED, BLURRED[order]))
    assert first == pytest.approx(again, rel=1e-6)


@pytest.fixture(scope="module")
def peer():
    """torch-fidelity's own values for our extractor on the same pictures."""
    import torch_fidelity

    class Peer(torch_fidelity.FeatureExtractorBase):
        def __init__(self, name, features_list, **kwargs):
            super().__init__(name, features_list)
            self.network = small_extractor("digits", "cpu")

        def forward(self, x):
            return (self.network.features(x),)

        @staticmethod
        def get_provided_features_list():
            return ("penultimate",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric):
            return "penultimate"

        @staticmethod
        def can_be_compiled():
            return False

        @staticmethod
        def get_dummy_input_for_compile():
            return torch.zeros(1, 1, 8, 8, dtype=torch.uint8)

    class Levels(torch.utils.data.Dataset):
        def __init__(self, x):
            self.levels = quantise(x)

        def __len__(self):
            return len(self.levels)

        def __getitem__(self, i):
            return self.levels[i]

    torch_fidelity.register_feature_extractor("fmbench-test-digits", Peer)

    def calculate(samples, **kinds):
        return torch_fidelity.calculate_metrics(
            input1=Levels(samples),
            input2=Levels(REAL),
            feature_extractor="fmbench-test-digits",
            cuda=False,
            cache=False,
            save_cpu_ram=True,
            verbose=False,
            **kinds,
        )

    return calculate


@pytest.mark.parametrize("samples", [BLURRED, NOISE], ids=["blurred", "noise"])
def test_fid_and_kid_are_torch_fidelitys(peer, samples):
    theirs = peer(samples, fid=True, kid=True, kid_subsets=10)
    evidence = make_evidence(DIGITS, samples)
    fid, kid = FIDDigits().compute(evidence), KIDDigits(subsets=10).compute(evidence)
    assert fid["fid_digits"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert kid["kid_digits"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert kid["kid_digits_std"] == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)


def test_extractor_runs_once_for_fid_and_kid(monkeypatch):
    evidence = make_evidence(DIGITS, NOISE.clone())
    calls = []
    extractor = small_extractor("digits", "cpu")
    whole = type(extractor).features
    monkeypatch.setattr(type(extractor), "features", lambda self, x: calls.append(len(x)) or whole(self, x))
    for metric in (FIDDigits(), KIDDigits(), FIDDigits()):
        metric.compute(evidence)
        metric.identity(evidence)
    assert sorted(calls) == [1200, 1437]


def test_features_follow_samples_that_change():
    samples = NOISE.clone()
    evidence = make_evidence(DIGITS, samples)
    before = FIDDigits().compute(evidence)
    samples.copy_(BLURRED[: len(samples)])
    assert FIDDigits().compute(evidence) != before


def test_memory_goes_with_its_tensor():
    tensor, made = torch.zeros(3), []
    value = memory.remember(tensor, "sum", lambda: made.append(1) or torch.ones(2))
    assert memory.remember(tensor, "sum", lambda: made.append(1)) is value
    assert len(made) == 1
    gone = weakref.ref(value)
    del tensor, value
    assert gone() is None


def test_reference_features_are_kept_and_a_damaged_file_is_not_used(tmp_path, caplog):
    def score():
        return FIDDigits().compute(make_evidence(DIGITS, NOISE, cache=tmp_path))["fid_digits"]

    first = score()
    (kept,) = tmp_path.iterdir()
    stamp, payload = kept.stat().st_mtime_ns, kept.read_bytes()
    assert score() == first
    assert kept.stat().st_mtime_ns == stamp, "a good file is not written again"
    for damaged in (
        payload[:-1] + bytes([payload[-1] ^ 1]),
        payload[:100],
        b"",
        hashlib.sha256(b"x").hexdigest().encode() + b"x",
    ):
        kept.write_bytes(damaged)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert score() == first
        assert "computed again" in caplog.text
        assert kept.read_bytes() == payload


def test_reference_files_are_told_apart_by_what_they_hold(tmp_path):
    for dataset, metric in (
        (DIGITS, FIDDigits()),
        (DIGITS, FIDDigits(reference="test")),
        (Pictures(REAL + 0.1), FIDDigits()),
    ):
        metric.compute(make_evidence(dataset, NOISE, cache=tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_cache_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be kept"):
        FIDDigits().compute(make_evidence(DIGITS, NOISE, cache=tmp_path / "file"))


@pytest.mark.parametrize("metric", [FIDDigits(), KIDDigits(), FIDDigits(reference="test")])
def test_identity_tells_scores_apart(metric):
    identity = metric.identity(make_evidence(DIGITS, NOISE))
    facts = json.loads((Path(extractors.__file__).parent / "digits.json").read_text())
    assert identity["weights"] == facts["sha256"]
    assert identity["reference_n"] == {"train": 1437, "test": 360}[identity["reference_split"]]
    assert identity["samples_n"] == 1200
    assert identity != metric.identity(make_evidence(DIGITS, NOISE[:1000]))
    assert identity != metric.identity(make_evidence(Pictures(REAL + 0.1), NOISE))


@pytest.mark.parametrize(("name", "dataset", "least"), [("digits", DIGITS, 0.97), ("mnist", Mnist5k(), 0.97)])
def test_extractors_recognise_held_out_digits(name, dataset, least):
    folder = Path(extractors.__file__).parent
    facts = json.loads((folder / f"{name}.json").read_text())
    assert hashlib.sha256((folder / f"{name}.safetensors").read_bytes()).hexdigest() == facts["sha256"]
    x, y = dataset.load("test")
    network = small_extractor(name, "cpu")._network
    accuracy = (network(quantise(x)).argmax(1) == y).float().mean().item()
    assert accuracy == pytest.approx(facts["test_accuracy"], abs=2e-3)
    assert accuracy >= least
    assert facts["test_examples"] == len(x)


@pytest.mark.parametrize(
    ("metric", "shape"), [(FIDDigits(), (1, 28, 28)), (KIDMnist(), (1, 8, 8)), (FIDMnist(), (3, 28, 28))]
)
def test_pictures_of_another_size_are_refused(metric, shape):
    with pytest.raises(DataError, match="judges pictures of shape"):
        metric.compute(make_evidence(Pictures(torch.zeros(1000, *shape))))


def test_kid_needs_a_thousand():
    with pytest.raises(DataError, match="1000 samples; found 999"):
        KIDDigits().compute(make_evidence(DIGITS, NOISE[:999]))
    with pytest.raises(DataError, match="test split; found 360"):
        KIDDigits(reference="test").compute(make_evidence(DIGITS, NOISE))


# FID and KID with Inception


@pytest.mark.parametrize("metric", [FID, KID])
def test_missing_inception_weights_name_the_file_and_its_place(metric, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(DataError, match=rf"{tmp_path}/checkpoints/{inception.FILE}.*downloads nothing"):
        metric().prepare()
    with pytest.raises(DataError, match=r"elsewhere\.pth is not there"):
        metric(weights=str(tmp_path / "elsewhere.pth")).prepare()


def test_broken_inception_weights_are_reported(tmp_path):
    path = tmp_path / "weights.pth"
    for content in (b"", b"not weights"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="that can be read"):
            inception.inception(str(path), "cpu")
    torch.save(torch.zeros(3), path)
    with pytest.raises(DataError, match="dictionary of tensors"):
        inception.inception(str(path), "cpu")
    torch.save({"a": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="does not hold the weights of Inception"):
        inception.inception(str(path), "cpu")


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory):
    """A file of random weights in Inception's architecture."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        torch.manual_seed(0)
        network = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(network.state_dict(), path)
    yield path, network
    path.unlink()


def test_inception_sees_grey_pictures_in_three_equal_channels(random_inception):
    path, network = random_inception
    extractor = FID(weights=str(path)).extractor("cpu")
    assert extractor is KID(weights=str(path)).extractor("cpu")
    assert extractor.weights_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    levels = torch.randint(0, 256, (2, 1, 9, 9), dtype=torch.uint8)
    (expected,) = network(levels.expand(2, 3, 9, 9))
    torch.testing.assert_close(extractor.features(levels), expected)
    assert expected.shape == (2, extractor.dimensions)


def test_inception_refuses_two_channels():
    with pytest.raises(DataError, match="1 or 3 channels"):
        inception.Inception.check(None, (2, 8, 8))


# Sliced Wasserstein


@pytest.mark.parametrize("n", [5000, 700])
def test_sliced_wasserstein_is_pots(n):
    import ot

    dataset = GaussianMixture()
    samples = dataset.source(n, torch.Generator().manual_seed(0))
    evidence = make_evidence(dataset, samples)
    directions = torch.randn(256, 2, generator=evidence.generator("projections"))
    directions = torch.nn.functional.normalize(directions, dim=1)
    theirs = ot.sliced_wasserstein_distance(
        samples.double().numpy(),
        dataset.load("test")[0].double().numpy(),
        projections=directions.T.double().numpy(),
        p=2,
    )
    assert SlicedWasserstein().compute(evidence)["sliced_wasserstein"] == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 3), (4, 6), (7, 5), (1, 9), (100, 1)])
def test_one_dimensional_distance_is_pots(n, m):
    import ot

    random = np.random.default_rng(0)
    x, y = random.normal(size=n), random.normal(size=m)
    ours = squared_distances(torch.from_numpy(x).sort().values[None], torch.from_numpy(y).sort().values[None])
    assert ours.item() == pytest.approx(ot.emd2_1d(x, y, metric="sqeuclidean"), rel=1e-9)


def test_sliced_wasserstein_of_repeated_points_is_that_of_the_points():
    x, y = torch.randn(2, 1, 12, dtype=torch.float64)
    x, y = x.sort().values, y.sort().values[:, :7]
    torch.testing.assert_close(squared_distances(x.repeat_interleave(3, 1), y), squared_distances(x, y))


def test_sliced_wasserstein_of_a_shift_and_a_scale():
    dataset = Pictures(torch.randn(500, 2, generator=torch.Generator().manual_seed(0)))

    def distance(samples):
        return SlicedWasserstein().compute(make_evidence(dataset, samples))["sliced_wasserstein"]

    assert distance(dataset.x) == 0
    near, far = distance(dataset.x + 1), distance(dataset.x + 2)
    assert far == pytest.approx(2 * near, rel=1e-5)
    assert distance(dataset.x.flip(0)) == pytest.approx(0, abs=1e-6)
    assert SlicedWasserstein().identity(make_evidence(dataset, dataset.x))["reference_n"] == 500


# Losses and costs


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


def test_sample_ms_is_the_median_a_sample(monkeypatch):
    import fmbench_metrics.sample_ms as module

    clock, durations, drawn = [0.0], iter([50.0, 9.0, 1.0, 2.0, 3.0, 4.0, 100.0]), []

    def draw(n):
        drawn.append(n)
        clock[0] += next(durations)

    monkeypatch.setattr(module.time, "perf_counter", lambda: clock[0])
    evidence = make_evidence(GaussianMixture(size=40))
    evidence.draw = draw
    values = SampleMs(batch=10, repeats=5, warmup=2).compute(evidence)
    assert drawn == [10] * 7
    assert values == pytest.approx({"sample_ms": 300.0, "sample_ms_iqr": 200.0})
    assert SampleMs(batch=10).identity(evidence)["batch"] == 10


def test_missing_evidence_is_said():
    evidence = make_evidence(DIGITS)
    evidence.samples = evidence.draw = None
    for metric in (FIDDigits(), KIDDigits(), SlicedWasserstein(), SampleMs()):
        with pytest.raises(DataError, match="this evidence has none"):
            metric.compute(evidence)


def test_kernel_sums_do_not_depend_on_the_blocks(monkeypatch):
    import fmbench_metrics.kernel as module

    x, y = (torch.rand(1500, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    whole = module.subset_distances(x, y, 5)
    monkeypatch.setattr(module, "BLOCK", 400)
    torch.testing.assert_close(module.subset_distances(x, y, 5), whole, rtol=1e-3, atol=1e-6)


def test_extractor_training_is_reproducible_and_learns(tmp_path, monkeypatch, capsys):
    from fmbench_metrics.extractors import train

    monkeypatch.setitem(train.DATASETS, "digits", ("digits", 3))
    monkeypatch.setattr("sys.argv", ["train", "digits", "--folder", str(tmp_path)])
    hashes = set()
    for _ in range(2):
        train.main()
        facts = json.loads(capsys.readouterr().out)
        hashes.add(facts["sha256"])
        assert facts == json.loads((tmp_path / "digits.json").read_text())
    assert len(hashes) == 1
    assert facts["test_accuracy"] > 0.6


def test_features_of_one_set_are_shared_by_identity():
    evidence = make_evidence(DIGITS, NOISE)
    extractor = small_extractor("digits", "cpu")
    assert features.sample_features(evidence, extractor) is features.sample_features(evidence, extractor)
    assert features.reference_features(evidence, extractor, "train").features.shape == (1437, 32)

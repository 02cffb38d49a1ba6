"""Points in the plane: their distributions, their classes, and one distribution as the source of another."""

import math

import numpy as np
import pytest
import torch
from built_ins import REGISTRY, names
from scipy import stats
from torch import distributions

from fmbench.errors import ComponentError
from fmbench_datasets.checkerboard import SIDE, Checkerboard
from fmbench_datasets.eight_gaussians import EightGaussians
from fmbench_datasets.gaussian import Gaussian
from fmbench_datasets.gaussian_mixture import WEIGHTS, GaussianMixture
from fmbench_datasets.gaussian_on_circle import GaussianOnCircle
from fmbench_datasets.moons import Moons
from fmbench_datasets.points import PlanePoints
from fmbench_datasets.s_curve import SCurve
from fmbench_datasets.transport import POINTS, Transport


def sliced_distance(x, y):
    import ot

    return ot.sliced_wasserstein_distance(x.double().numpy(), y.double().numpy(), n_projections=50, seed=0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def torchcfm_utils():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchcfm's own imports
        import torchcfm.utils
    torch.manual_seed(0)
    np.random.seed(0)
    return torchcfm.utils


@pytest.mark.parametrize("kind", [Checkerboard, Gaussian, SCurve, Transport])
def test_splits_have_their_sizes_and_come_from_one_distribution(kind):
    dataset = kind(size=4001)
    (train, _), (test, _) = (dataset.load(split) for split in ("train", "test"))
    assert (len(train), len(test)) == (4001, 1000)
    assert sliced_distance(train, test) < 0.3


@pytest.mark.parametrize("name", sorted(POINTS))
def test_fresh_points_are_distributed_as_the_data(name):
    dataset = POINTS[name](size=3000)
    data, fresh = dataset.load("train")[0], dataset.draw(3000, generator(7), torch.float32)[0]
    again = POINTS[name](size=12_000).load("test")[0]
    assert fresh.dtype == torch.float32
    assert sliced_distance(data, fresh) < 2.5 * sliced_distance(data, again)


# Classes


@pytest.mark.parametrize("name", sorted(POINTS))
def test_every_class_occurs_in_its_share(name):
    dataset = POINTS[name]()
    assert ("classes" in dataset.provides) == (dataset.classes > 0)
    if dataset.classes:
        weights = torch.tensor(WEIGHTS) if name == "gaussian_mixture" else torch.full((dataset.classes,), 1.0)
        shares = torch.bincount(dataset.load("train")[1], minlength=dataset.classes) / dataset.size
        torch.testing.assert_close(shares, weights / weights.sum(), atol=0.015, rtol=0)
    else:
        assert dataset.load("train")[1] is None


@pytest.mark.parametrize("dataset", [EightGaussians(), GaussianMixture()])
def test_points_of_a_class_are_those_of_its_gaussian(dataset):
    x, y = dataset.load("train")
    mixture = dataset.mixture()
    for label in range(dataset.classes):
        of_class = x[y == label].double()
        torch.testing.assert_close(of_class.mean(0), mixture.means[label], atol=0.08, rtol=0)
        torch.testing.assert_close(of_class.T.cov(), mixture.covariances[label], atol=0.06, rtol=0)


def test_moons_have_torchdyns_classes():
    torchcfm_utils()
    from torchdyn.datasets import generate_moons

    theirs, labels = generate_moons(4000, noise=0.2)
    x, y = Moons(size=4000).load("train")
    for moon in (0, 1):
        mine, other = x[y == moon], 3 * theirs[labels == moon] - 1
        assert sliced_distance(mine, other) < 0.1 < 1 < sliced_distance(mine, 3 * theirs[labels != moon] - 1)


def test_labelled_draws_are_the_plain_draws():
    mixture = GaussianMixture().mixture()
    x, component = mixture.sample_labelled(50, generator())
    assert torch.equal(x, mixture.sample(50, generator()))
    assert component.dtype == torch.int64
    assert mixture.sample_labelled(50, generator(), torch.float32)[0].dtype == torch.float32


class Dice(PlanePoints):
    """Few different points, of which the label is the parity."""

    classes = 2

    def draw(self, n, generator, dtype=torch.float64):
        pips = torch.randint(60, (n,), generator=generator)
        return torch.stack([pips, pips], dim=1).to(dtype), pips % 2


def test_test_points_that_are_train_points_too_are_drawn_again_with_their_labels():
    dataset = Dice(size=60)
    (train, _), (test, labels) = (dataset.load(split) for split in ("train", "test"))
    assert len(train) == 60
    assert len(test) == 15
    assert not set(train[:, 0].tolist()) & set(test[:, 0].tolist())
    assert torch.equal(test[:, 0].long() % 2, labels)


# Distributions


@pytest.mark.parametrize("covariance", [((1.0, 0.8), (0.8, 1.0)), ((2.0, -0.3), (-0.3, 0.5))])
def test_gaussian_is_torchs(covariance):
    dataset = Gaussian(mean=(1.0, -2.0), covariance=covariance, size=40_000)
    expected = distributions.MultivariateNormal(torch.tensor([1.0, -2.0]).double(), torch.tensor(covariance).double())
    x = 3 * torch.randn(200, 2, dtype=torch.float64, generator=generator())
    torch.testing.assert_close(dataset.log_density(x), expected.log_prob(x))
    train = dataset.load("train")[0].double()
    torch.testing.assert_close(train.mean(0), expected.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(train.T.cov(), expected.covariance_matrix, atol=0.06, rtol=0)
    assert len(dataset.mixture().weights) == 1


def test_gaussian_lies_at_two_two_and_takes_lists_from_a_suite():
    assert Gaussian().mixture().means.tolist() == [[2.0, 2.0]]
    spec = REGISTRY.spec("dataset", "gaussian", {"mean": [0, 1], "covariance": [[4, 1], [1, 2]]})
    built = REGISTRY.build(spec).mixture()
    assert (built.means.tolist(), built.covariances.tolist()) == ([[0, 1]], [[[4, 1], [1, 2]]])


@pytest.mark.parametrize(
    "covariance", [[[1, 0.5], [0.4, 1]], [[1, 1], [1, 1]], [[-1, 0], [0, -1]], [[1, 2], [2, 1]], [[0, 0], [0, 1]]]
)
def test_covariances_that_are_none_are_refused(covariance):
    with pytest.raises(ComponentError, match="symmetric and positive definite"):
        REGISTRY.build(REGISTRY.spec("dataset", "gaussian", {"covariance": covariance}))


def test_s_curve_is_scikit_learns():
    from sklearn.datasets import make_s_curve

    theirs = 1.5 * torch.from_numpy(make_s_curve(4000, noise=0.05, random_state=0)[0][:, [0, 2]])
    ours, again = (SCurve().draw(4000, generator(seed))[0] for seed in (0, 1))
    assert sliced_distance(theirs, ours) < 2 * sliced_distance(again, ours)
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.03, atol=0)


def test_a_square_of_the_board_is_filled_uniformly_and_is_a_class():
    x, y = Checkerboard().load("train")
    corners = set()
    for square in range(8):
        position = x[y == square].double() / SIDE
        corner = position.mean(0).floor()
        corners.add(tuple(corner.int().tolist()))
        within = position - corner
        for coordinate in within.T:
            assert stats.kstest(coordinate.numpy(), "uniform").pvalue > 1e-3
        assert within.T.corrcoef()[0, 1].abs() < 0.06
    assert corners == {(i, j) for i in range(-2, 2) for j in range(-2, 2) if (i + j) % 2 == 0}
    assert [tuple((x[y == s].double().mean(0) / SIDE).floor().int().tolist()) for s in (0, 1, 2)] == [
        (-2, -2),
        (-2, 0),
        (-1, -1),
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_of_the_board_is_uniform_on_the_squares_and_their_borders(dtype):
    result_table = Checkerboard()
    axis = SIDE * (torch.arange(-30, 30, dtype=dtype) + 0.5) / 10
    density = result_table.log_density(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum().item() * (SIDE / 10) ** 2 == pytest.approx(1, abs=1e-5)
    level = result_table.log_density(result_table.load("train")[0].to(dtype))
    assert level.dtype == dtype
    assert (level == level[0]).all()
    assert level[0].item() == pytest.approx(-math.log(8 * SIDE**2))
    edges = SIDE * torch.tensor([[-2, -2], [-1, -1.5], [0, 0], [2, 1.5], [0, 0.5], [2, 2]], dtype=dtype)
    assert torch.isfinite(result_table.log_density(edges)).all()
    off = SIDE * torch.tensor([[0.5, 1.5], [2.01, 1.5], [-2.5, -1.5], [9, 9], [2.5, 2.5]], dtype=dtype)
    assert torch.isneginf(result_table.log_density(off)).all()


def test_points_on_a_circle_are_a_gaussian_given_the_condition():
    dataset = GaussianOnCircle(radius=3.0, deviation=0.4, size=20_000)
    x, c = dataset.load("train")
    rest = (x - 3.0 * c).double()
    error = 5 * 0.4 / math.sqrt(len(x))
    assert rest.mean(0).abs().max() < error
    assert (rest.std(0) - 0.4).abs().max() < error
    assert (rest[:, :, None] * c[:, None, :]).mean(0).abs().max() < error, "what is left does not depend on c"
    assert torch.allclose(c.norm(dim=1), torch.ones(len(c)))
    given = distributions.MultivariateNormal(3.0 * c.double(), 0.16 * torch.eye(2, dtype=torch.float64))
    torch.testing.assert_close(dataset.log_density_given(x.double(), c.double()), given.log_prob(x.double()))


def test_the_ring_is_the_mean_of_its_gaussians():
    dataset = GaussianOnCircle(radius=2.0, deviation=0.6)
    angles = torch.arange(4000, dtype=torch.float64) * (2 * math.pi / 4000)
    c = torch.stack([angles.cos(), angles.sin()], dim=1)
    for point in ([0.0, 0.0], [2.0, 0.0], [-1.0, 2.5], [9.0, 9.0]):
        x = torch.tensor([point], dtype=torch.float64)
        mean = torch.logsumexp(dataset.log_density_given(x, c), 0) - math.log(len(c))
        torch.testing.assert_close(dataset.log_density(x)[0], mean)


# One distribution as the source of another


def test_every_set_of_points_can_be_transported():
    own = {"arrays", "arrays_with_conditions", "image_folder", "image_folder_flipped"}
    specs = [REGISTRY.spec("dataset", name) for name in names("dataset") if name not in own]
    provided = {spec.name: REGISTRY.attribute(spec, "provides") for spec in specs}
    registered = [name for name, said in provided.items() if "points" in said and "vectors" not in said]
    assert registered == [*sorted(POINTS), "transport"]
    for name in POINTS:
        dataset = REGISTRY.build(REGISTRY.spec("dataset", "transport", {"source": name, "data": name, "size": 40}))
        assert dataset.load("train")[0].shape == dataset.source(40, generator()).shape
    with pytest.raises(ComponentError, match="digits"):
        REGISTRY.spec("dataset", "transport", {"source": "digits"})


@pytest.mark.parametrize("name", sorted(POINTS))
def test_transported_data_are_the_data(name):
    data, transport = POINTS[name](size=300), Transport(source="sine", data=name, size=300)
    for split in ("train", "test"):
        (x, y), (moved, labels) = data.load(split), transport.load(split)
        assert torch.equal(x, moved)
        assert torch.equal(labels, torch.zeros(len(x), dtype=torch.int64) if y is None else y)
    assert transport.classes == (data.classes or 1)


def test_eight_gaussians_to_moons_are_torchcfms():
    utils = torchcfm_utils()
    dataset = Transport(source="eight_gaussians", data="moons", size=3000)
    source, again = (dataset.source(3000, generator(seed)) for seed in (0, 1))
    assert sliced_distance(utils.sample_8gaussians(3000), source) < 2 * sliced_distance(again, source)
    moons, other = dataset.load("train")[0], dataset.draw(3000, generator())[0]
    assert sliced_distance(utils.sample_moons(3000), moons) < 2 * sliced_distance(other, moons)


def test_the_source_is_fresh_and_never_the_data():
    dataset = Transport(source="moons", data="moons", size=500)
    noise = generator()
    batches = [dataset.source(100, noise) for _ in range(3)]
    seen = {tuple(row) for split in ("train", "test") for row in dataset.load(split)[0].tolist()}
    for batch in batches:
        fresh = {tuple(row) for row in batch.tolist()}
        assert len(fresh) == 100
        assert not fresh & seen
        seen |= fresh
    assert batches[0].dtype == torch.float32

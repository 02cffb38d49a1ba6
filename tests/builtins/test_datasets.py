"""The built-in datasets: splits, scales, exact densities, and what becomes of bad pictures."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image
from torch import distributions

from fmbench import DataError
from fmbench_datasets import mnist_5k
from fmbench_datasets.digits import Digits
from fmbench_datasets.eight_gaussians import EightGaussians
from fmbench_datasets.gaussian_mixture import COVARIANCES, MEANS, WEIGHTS, GaussianMixture
from fmbench_datasets.image_folder import ImageFolder
from fmbench_datasets.mnist_5k import Mnist5k
from fmbench_datasets.moons import Moons
from fmbench_datasets.sine import Sine
from fmbench_datasets.splits import in_turn

POINTS = [GaussianMixture, EightGaussians, Moons, Sine]


def sliced_distance(x, y):
    import ot

    return ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=100, seed=0)


# Digits and MNIST


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    (x, y), (x_test, y_test) = Digits().load("train"), Digits().load("test")
    assert (len(x), len(x_test)) == (1437, 360)
    ours = sorted(
        (tuple(v), label)
        for v, label in zip(
            ((torch.cat([x, x_test]) + 1) * 8).flatten(1).tolist(), torch.cat([y, y_test]).tolist(), strict=True
        )
    )
    bunch = load_digits()
    assert ours == sorted(
        (tuple(v), label) for v, label in zip(bunch.data.tolist(), bunch.target.tolist(), strict=True)
    )


@pytest.mark.parametrize(("dataset", "share"), [(Digits(), 36), (Mnist5k(), 100)])
def test_splits_are_stratified(dataset, share):
    _, y = dataset.load("test")
    assert (y.bincount() - share).abs().max() <= 1


def test_classes_take_turns_in_their_own_order():
    labels = torch.tensor([2, 2, 2, 0, 0, 1])
    assert in_turn(labels).tolist() == [3, 5, 0, 4, 1, 2]
    assert Mnist5k().load("test")[1][:20].tolist() == [*range(10), *range(10)]


def test_mnist_5k_is_mlxtends(monkeypatch):
    with gzip.open(mnist_5k._csv_path()) as stream:
        rows = [list(map(int, line.split(b","))) for line in stream.read().splitlines()[::500]]
    sets = [Mnist5k().load(split) for split in ("train", "test")]
    found = {
        (tuple(((v + 1) * 127.5).round().int().tolist()), int(label))
        for x, y in sets
        for v, label in zip(x[:, 0].flatten(1), y, strict=True)
    }
    assert all((tuple(row[:-1]), row[-1]) in found for row in rows)
    assert [len(x) for x, _ in sets] == [4000, 1000]


def test_broken_mnist_table_is_reported(tmp_path, monkeypatch):
    broken = tmp_path / "mnist_5k.csv.gz"
    monkeypatch.setattr(mnist_5k, "_csv_path", lambda: broken)
    for content in (
        b"",
        b"no gzip",
        gzip.compress(b"1,2\n"),
        gzip.compress(b"1,x\n"),
        gzip.compress(b"1,2\n" * 99)[:-9],
    ):
        broken.write_bytes(content)
        with pytest.raises(DataError, match="mnist_5k"):
            Mnist5k().load("train")


# Points in the plane


@pytest.mark.parametrize("kind", POINTS)
def test_size_is_that_of_the_train_split(kind):
    dataset = kind(size=401)
    assert [len(dataset.load(split)[0]) for split in ("train", "test")] == [401, 100]


@pytest.mark.parametrize("kind", POINTS)
def test_splits_come_from_one_distribution(kind):
    train, test = (kind().load(split)[0] for split in ("train", "test"))
    assert not {tuple(row) for row in train.tolist()} & {tuple(row) for row in test.tolist()}
    assert sliced_distance(train, test) < 0.15


def test_gaussian_mixture_density_is_torchs():
    components = distributions.MultivariateNormal(
        torch.tensor(MEANS, dtype=torch.float64), torch.tensor(COVARIANCES, dtype=torch.float64)
    )
    expected = distributions.MixtureSameFamily(
        distributions.Categorical(torch.tensor(WEIGHTS, dtype=torch.float64)), components
    )
    x = 5 * torch.randn(500, 2, dtype=torch.float64)
    torch.testing.assert_close(GaussianMixture().log_density(x), expected.log_prob(x))
    x = GaussianMixture(size=40_000).load("train")[0].double()
    torch.testing.assert_close(x.mean(0), expected.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(x.var(0), expected.variance, atol=0.15, rtol=0)


@pytest.mark.parametrize("dataset", [GaussianMixture(), EightGaussians()])
def test_density_integrates_to_one_and_fits_the_draws(dataset):
    axis = torch.linspace(-12, 12, 801, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    density = dataset.log_density(grid).exp() * (axis[1] - axis[0]) ** 2
    assert density.sum().item() == pytest.approx(1, abs=1e-6)
    # The mean log-density of draws is minus the entropy, which the grid gives too.
    negative_entropy = torch.xlogy(density, dataset.log_density(grid).exp()).sum().item()
    draws = dataset.load("train")[0]
    assert dataset.log_density(draws).mean().item() == pytest.approx(negative_entropy, abs=0.03)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_density_keeps_the_dtype_and_far_points_are_finite(dtype):
    value = GaussianMixture().log_density(torch.full((3, 2), 1e3, dtype=dtype))
    assert value.dtype == dtype
    assert torch.isfinite(value).all()


@pytest.mark.parametrize(("kind", "name"), [(EightGaussians, "sample_8gaussians"), (Moons, "sample_moons")])
def test_points_are_distributed_as_torchcfms(kind, name):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torchcfm's own imports
        import torchcfm.utils
    torch.manual_seed(0)
    np.random.seed(0)
    theirs, ours = getattr(torchcfm.utils, name)(5000).float(), kind(size=5000).load("train")[0]
    floor = sliced_distance(kind(size=20_000).load("test")[0], ours)
    assert sliced_distance(theirs, ours) < 2 * floor
    torch.testing.assert_close(ours.std(0), theirs.std(0), rtol=0.05, atol=0)


def test_sine_lies_on_the_curve_and_its_source_has_deviation_two():
    x = Sine().load("train")[0]
    torch.testing.assert_close(x[:, 1], x[:, 0].sin(), atol=1e-5, rtol=0)
    assert (x[:, 0].min() >= 0).item()
    assert x[:, 0].max().item() <= 4 * torch.pi + 1e-5
    source = Sine().source(20_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(source.std(0), torch.full((2,), 2.0), atol=0.05, rtol=0)


# Folders of pictures


def save(path, size=(12, 9), mode="RGB", colour=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    array = np.random.default_rng(len(path.name)).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    Image.fromarray(array).save(path) if colour is None else Image.new(mode, size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    for i in range(30):
        save(tmp_path / "flat" / f"{i}.png", (8 + i, 40 - i))
    return tmp_path / "flat"


def test_image_folder_takes_any_sizes(folder):
    dataset = ImageFolder(folder=str(folder), size=8)
    sets = [dataset.load(split) for split in ("train", "test")]
    assert sum(len(x) for x, _ in sets) == 30
    assert all(x.shape[1:] == (3, 8, 8) == dataset.shape for x, _ in sets)
    assert all(y is None for _, y in sets)
    assert ImageFolder(folder=str(folder), size=8, grayscale=True).load("train")[0].shape[1:] == (1, 8, 8)


def test_subfolders_are_classes(tmp_path):
    for i in range(40):
        save(
            tmp_path / ("cats" if i % 2 else "ants") / "deeper" / f"{i}.jpg",
            mode="RGB",
            colour="white" if i % 2 else "black",
        )
    dataset = ImageFolder(folder=str(tmp_path), size=4)
    assert (dataset.classes, dataset.class_names) == (2, ("ants", "cats"))
    for split in ("train", "test"):
        x, y = dataset.load(split)
        assert torch.equal(y, (x.mean((1, 2, 3)) > 0).long())


def test_adding_a_picture_moves_no_other(folder):
    before = {
        split: {v.numpy().tobytes() for v in ImageFolder(folder=str(folder)).load(split)[0]}
        for split in ("train", "test")
    }
    for i in range(10):
        save(folder / f"new{'w' * i}.png")
    after = {
        split: {v.numpy().tobytes() for v in ImageFolder(folder=str(folder)).load(split)[0]}
        for split in ("train", "test")
    }
    assert all(before[split] < after[split] or before[split] == after[split] for split in before)
    assert not after["train"] & after["test"]


@pytest.mark.parametrize(
    ("mode", "colour", "level"),
    [
        ("RGBA", (0, 0, 0, 0), 1.0),
        ("L", 0, -1.0),
        ("LA", (0, 255), -1.0),
        ("1", 1, 1.0),
        ("I;16", 65535, 1.0),
        ("I;16", 0, -1.0),
        ("CMYK", (0, 0, 0, 255), -1.0),
    ],
)
def test_picture_modes(tmp_path, mode, colour, level):
    for i in range(20):
        Image.new(mode, (6, 6), colour).save(tmp_path / f"{i}.{'tif' if mode == 'CMYK' else 'png'}")
    x, _ = ImageFolder(folder=str(tmp_path), size=4).load("train")
    torch.testing.assert_close(x, torch.full_like(x, level))


def test_centre_is_kept_and_edges_are_cut(tmp_path):
    array = np.zeros((10, 30), np.uint8)
    array[:, 10:20] = 255
    for i in range(20):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    x, _ = ImageFolder(folder=str(tmp_path), size=10).load("train")
    assert (x == 1).all()


def test_shrinking_is_antialiased(tmp_path):
    array = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    for i in range(20):
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    x, _ = ImageFolder(folder=str(tmp_path), size=8).load("train")
    assert x.abs().max() < 0.1


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("missing", "does not exist"),
        ("file", "is a file"),
        ("empty", "holds no picture"),
        ("texts", "holds no picture"),
    ],
)
def test_bad_folders(tmp_path, made, message):
    path = tmp_path / made
    if made == "file":
        path.write_text("x")
    elif made != "missing":
        path.mkdir()
    if made == "texts":
        (path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=message):
        ImageFolder(folder=str(path)).load("train")


def test_broken_picture_is_named(folder):
    whole = (folder / "3.png").read_bytes()
    for content in (b"", b"not a picture", whole[: len(whole) // 2]):
        for name in (f"{i}.png" for i in range(30)):
            (folder / name).write_bytes(content)
        with pytest.raises(DataError, match=r"\d+\.png is not a picture"):
            ImageFolder(folder=str(folder)).load("train")


def test_class_without_pictures_and_pictures_beside_classes(tmp_path):
    save(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="'b' holds no picture"):
        ImageFolder(folder=str(tmp_path)).load("train")
    save(tmp_path / "b" / "1.png")
    save(tmp_path / "stray.png")
    with pytest.raises(DataError, match=r"stray\.png"):
        ImageFolder(folder=str(tmp_path)).load("train")


def test_split_without_pictures(tmp_path):
    save(tmp_path / "only.png")
    dataset = ImageFolder(folder=str(tmp_path))
    with pytest.raises(DataError, match="Add more pictures"):
        [dataset.load(split) for split in ("train", "test")]


def test_hidden_files_are_left_aside(folder):
    (folder / ".broken.png").write_bytes(b"")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "broken.png").write_bytes(b"")
    dataset = ImageFolder(folder=str(folder))
    assert dataset.classes == 0
    assert sum(len(dataset.load(split)[0]) for split in ("train", "test")) == 30

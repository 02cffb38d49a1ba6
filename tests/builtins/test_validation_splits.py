"""The third split: held out of what is trained on, or drawn anew; and without it data, keys and seeds are as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import built_ins, context
from own_arrays import LABELS, POINTS, built, written
from PIL import Image
from torch import Tensor

from fmbench import DataError
from fmbench.cells.component_spec import ComponentSpec
from fmbench.components.dataset_checks import check_together
from fmbench_datasets.image_folder import ImageFolder
from fmbench_datasets.splits import held_out

GENERATED = ["checkerboard", "eight_gaussians", "gaussian", "gaussian_mixture", "moons", "s_curve", "sine", "transport"]


def dataset(name: str, **parameters: Any) -> Any:
    return built_ins().build(built_ins().spec("dataset", name, parameters))


def rows(x: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in x}


@pytest.mark.parametrize("name", ["digits", "mnist_5k"])
def test_what_is_held_out_was_trained_on_before(name: str) -> None:
    whole, split = dataset(name), dataset(name, validation=0.25)
    x, y = split.load("validation")
    assert rows(x) | rows(split.load("train")[0]) == rows(whole.load("train")[0])
    assert torch.equal(split.load("test")[0], whole.load("test")[0])
    shares = y.bincount() / whole.load("train")[1].bincount()
    assert ((shares > 0.23) & (shares <= 0.25)).all(), "a share of each class, rounded down"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3333, 0.5, 0.99])
def test_a_share_of_each_class_is_rounded_down(share: float) -> None:
    labels = torch.arange(700) % 7
    counts = torch.bincount(labels[held_out(labels, share)], minlength=7)
    assert counts.tolist() == [int(100 * share)] * 7


@pytest.mark.parametrize("name", ["digits", "mnist_5k", "cifar10", "mnist", "fashion_mnist"])
def test_no_validation_split_leaves_keys_and_seeds_as_they_were(name: str) -> None:
    registry = built_ins()
    spec = registry.spec("dataset", name)
    assert spec == registry.spec("dataset", name, {"validation": 0.0})
    assert "validation" not in spec.parameters
    assert "validation" not in registry.attribute(spec, "provides")
    held = registry.spec("dataset", name, {"validation": 0.1})
    assert str(held) == f"{name}(validation=0.1)"
    assert held.digest != spec.digest
    assert {"validation", *registry.attribute(spec, "provides")} == set(registry.attribute(held, "provides"))


@pytest.mark.parametrize("name", GENERATED)
def test_generated_points_have_a_draw_of_their_own(name: str) -> None:
    points = dataset(name, size=400)
    assert "validation" in points.provides
    x, y = points.load("validation")
    assert len(x) == len(points.load("test")[0]) == 100
    assert (y is None) == (points.classes == 0)
    assert not rows(x) & (rows(points.load("train")[0]) | rows(points.load("test")[0]))


def test_validation_rows_of_an_array_and_their_labels(tmp_path: Path) -> None:
    file = written(tmp_path / "x.npz", x=POINTS, y=LABELS)
    own = built(file, key="x", labels={"key": "y"}, validation=0.25)
    x, y = own.load("validation")
    known = {row.tobytes(): int(label) for row, label in zip(POINTS, LABELS, strict=True)}
    assert [known[row.numpy().tobytes()] for row in x] == y.tolist()
    assert rows(x) | rows(own.load("train")[0]) == rows(built(file, key="x", labels={"key": "y"}).load("train")[0])
    assert "0.25 of those to train are the validation split." in own.describe()


def test_validation_files_of_arrays(tmp_path: Path) -> None:
    file = written(tmp_path / "x.npy", x=POINTS)
    labels = written(tmp_path / "y.npy", x=LABELS)
    other = written(tmp_path / "v.npy", x=POINTS[:12] + 9)
    their = written(tmp_path / "w.npy", x=LABELS[:12])
    own = built(file, labels=labels, validation=other, validation_labels=their)
    x, y = own.load("validation")
    assert rows(x) == rows(torch.from_numpy(POINTS[:12] + 9))
    assert y.bincount().tolist() == [3, 3, 3, 3]
    with pytest.raises(DataError, match=r"the splits share no example; in .*`validation` a share"):
        built(file, labels=labels, validation=file, validation_labels=labels).load("validation")
    with pytest.raises(Exception, match="validation_labels is a file exactly where validation and labels are files"):
        built(file, labels=labels, validation=other)


def write_pictures(folder: Path, *places: str) -> None:
    random = np.random.default_rng(0)
    for place in places:
        (folder / place).mkdir(parents=True)
        for number in range(20):
            levels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(levels).save(folder / place / f"{number}.png")


def test_validation_pictures_from_a_folder_of_their_own(tmp_path: Path) -> None:
    write_pictures(tmp_path, "train/a", "train/b", "val/a", "val/b", "test/a", "test/b")
    own = ImageFolder(folder=str(tmp_path), size=8, validation="folder")
    assert "120 pictures of 2 classes: 40 train, 40 test, 40 validation" in own.describe()
    assert len(own.load("validation")[0]) == 40
    with_share = ImageFolder(folder=str(tmp_path), size=8, validation=0.25)
    assert 0 < len(with_share.load("validation")[0]) < 20


@pytest.mark.parametrize("places", [("train/a", "val/a"), ("train/a", "test/a"), ("a", "b")])
def test_a_folder_of_validation_pictures_that_is_not_there(places: tuple[str, ...], tmp_path: Path) -> None:
    write_pictures(tmp_path, *places)
    with pytest.raises(DataError, match=r"validation: folder .*give a share"):
        ImageFolder(folder=str(tmp_path), size=8, validation="folder")


def test_a_dataset_of_two_splits_is_asked_for_no_third(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digits has no validation split"):
        context(tmp_path).load(built_ins().spec("dataset", "digits"), "validation")


def test_validation_examples_that_are_trained_on_are_said() -> None:
    points = dataset("moons", size=400)
    train, test, validation = (points.load(split) for split in ("train", "test", "validation"))
    check_together("moons", points, train, test, "cpu", validation)
    for other in (train, test):
        name = "train" if other is train else "test"
        with pytest.raises(DataError, match=rf"validation and {name} of moons share no example; 100 of 100"):
            check_together("moons", points, train, test, "cpu", (other[0][:100].flip(0), other[1][:100].flip(0)))


def test_omitted_defaults_are_filled_in_where_a_component_is_built() -> None:
    registry = built_ins()
    assert registry.has_defaults(registry.spec("dataset", "digits"))
    assert not registry.has_defaults(registry.spec("dataset", "digits", {"validation": 0.5}))
    assert registry.build(ComponentSpec("dataset", "digits")).validation == 0.0  # type: ignore[attr-defined]

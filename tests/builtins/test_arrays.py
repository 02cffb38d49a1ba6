"""Arrays that people bring: what is read, how it is split, where x_0 comes from, and what counts in keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_arrays import LABELS, LEVELS, POINTS, REGISTRY, both, built, planned, rows_of, written
from torch import Generator
from torchvision_files import write_cifar10
from typer.testing import CliRunner

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cli.app import app
from fmbench_datasets.arrays import Arrays
from fmbench_datasets.cifar10 import Cifar10
from fmbench_datasets.cifar10_flipped import Cifar10Flipped
from fmbench_datasets.image_folder import ImageFolder
from fmbench_datasets.image_folder_flipped import ImageFolderFlipped
from fmbench_datasets.row_splits import is_chosen_row

# What is read


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32, ">f4"])
def test_points_come_back_from_each_format(suffix: str, dtype: Any, tmp_path: Path) -> None:
    points = (10 * POINTS).astype(dtype)
    if suffix == ".safetensors":
        points = points.astype(points.dtype.newbyteorder("="))
    dataset = built(written(tmp_path / f"x{suffix}", x=points))
    assert (dataset.shape, dataset.classes, dataset.provides) == ((3,), 0, ("points", "normal_source"))
    assert torch.equal(both(dataset), rows_of(points.astype(np.float32)))
    assert [len(dataset.load(split)[0]) for split in ("train", "test")] == [40, 10]
    assert dataset.load("train")[1] is None


def test_an_array_in_fortran_order_is_the_same(tmp_path: Path) -> None:
    dataset = built(written(tmp_path / "x.npy", x=np.asfortranarray(POINTS)))
    assert torch.equal(both(dataset), rows_of(POINTS))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors"])
@pytest.mark.parametrize(
    ("levels", "scaled", "dtype"),
    [
        ("0 to 255", 1.0, np.uint8),
        ("0 to 255", 1.0, np.float64),
        ("0 to 1", 255.0, np.float64),
        ("-1 to 1", 0, np.float64),
    ],
)
def test_pictures_of_each_range_become_the_same(
    suffix: str, levels: str, scaled: float, dtype: Any, tmp_path: Path
) -> None:
    pictures = (LEVELS / scaled if scaled else LEVELS / 127.5 - 1).astype(dtype)
    dataset = built(written(tmp_path / f"x{suffix}", x=pictures), pictures=levels)
    assert (dataset.shape, dataset.provides) == ((1, 4, 5), ("images", "normal_source"))
    torch.testing.assert_close(both(dataset), rows_of(LEVELS) / 127.5 - 1)
    assert both(dataset).abs().max() <= 1


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_labels_stay_with_their_rows(suffix: str, tmp_path: Path) -> None:
    inside = written(tmp_path / f"all{suffix}", x=POINTS, y=LABELS)
    alone = written(tmp_path / "x.npy", x=POINTS)
    beside = written(tmp_path / f"y{suffix}", y=LABELS.astype(np.uint8))
    label_of = {tuple(row): label for row, label in zip(POINTS.tolist(), LABELS.tolist(), strict=True)}
    for dataset in (built(inside, key="x", labels={"key": "y"}), built(alone, labels=beside)):
        assert dataset.classes == 4
        assert dataset.provides == ("points", "classes", "normal_source")
        for split in ("train", "test"):
            x, y = dataset.load(split)
            assert y.dtype == torch.int64
            assert [label_of[tuple(row)] for row in x.tolist()] == y.tolist()
            assert y[:4].tolist() == [0, 1, 2, 3], "the first examples, which figures show, are of all classes"


# Splits


def test_a_share_of_each_class_is_the_test_split() -> None:
    x, y = torch.randn(1000, 2, generator=Generator().manual_seed(0)), torch.arange(1000) // 900
    test = is_chosen_row(x, y, 0.2)
    assert y[test].bincount().tolist() == [180, 20]
    assert torch.equal(test, is_chosen_row(x, y, 0.2))
    assert y[is_chosen_row(x, y, 0.35)].bincount().tolist() == [315, 35]
    assert is_chosen_row(x, None, 0.2).sum() == 200
    positions = test.nonzero().flatten()
    assert positions[:180].float().mean().item() == pytest.approx(450, abs=60), "drawn from all of the file"


def test_equal_rows_are_on_one_side() -> None:
    x = torch.arange(100.0).repeat_interleave(torch.arange(100) % 5 + 1)[:, None]
    test = is_chosen_row(x, None, 0.3)
    assert not set(x[test].flatten().tolist()) & set(x[~test].flatten().tolist())
    assert test.float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_a_class_of_one_value_stays_in_training() -> None:
    x, y = torch.cat([torch.randn(20, 1), torch.zeros(5, 1)]), torch.tensor([0] * 20 + [1] * 5)
    assert not is_chosen_row(x, y, 0.9)[20:].any()


def test_a_test_file_is_the_test_split(tmp_path: Path) -> None:
    train, test = POINTS[:30], POINTS[30:]
    inside = built(
        written(tmp_path / "train.npz", x=train, y=LABELS[:30]),
        key="x",
        labels={"key": "y"},
        test=written(tmp_path / "test.npz", x=test, y=LABELS[30:]),
    )
    files = {name: written(tmp_path / f"{name}.npy", x=array) for name, array in (("a", train), ("b", test))}
    beside = built(
        files["a"],
        labels=written(tmp_path / "y.npy", y=LABELS[:30]),
        test=files["b"],
        test_labels=written(tmp_path / "z.npy", y=LABELS[30:]),
    )
    for dataset in (inside, beside):
        for split, expected, labels in (("train", train, LABELS[:30]), ("test", test, LABELS[30:])):
            x, y = dataset.load(split)
            assert torch.equal(torch.stack(sorted(x, key=lambda r: r.tolist())), rows_of(expected))
            assert y.bincount().tolist() == np.bincount(labels).tolist()
    alone = built(files["a"], test=files["b"])
    assert torch.equal(alone.load("test")[0], torch.from_numpy(test))


# Flips


def flipped_share(dataset: Any, plain: Any) -> None:
    """Check that training has each picture of `plain` and its mirror image, labelled alike, and the test split not."""
    (x, y), (x_plain, y_plain) = dataset.load("train"), plain.load("train")
    n = len(x_plain)
    assert torch.equal(x[:n], x_plain)
    assert torch.equal(x[n:], x_plain.flip(-1))
    assert not torch.equal(x[n:], x[:n])
    assert y is None if y_plain is None else torch.equal(y, y_plain.repeat(2))
    assert torch.equal(dataset.load("test")[0], plain.load("test")[0])


def test_flips_are_of_training_pictures_alone(tmp_path: Path) -> None:
    file = written(tmp_path / "x.npz", x=LEVELS, y=LABELS)
    parameters = {"key": "x", "labels": {"key": "y"}, "pictures": "0 to 255"}
    flipped_share(built(file, **parameters, horizontal_flips=True), built(file, **parameters))


def test_folders_are_flipped_too(tmp_path: Path) -> None:
    from PIL import Image

    for number, picture in enumerate(LEVELS):
        (tmp_path / str(number % 2)).mkdir(exist_ok=True)
        Image.fromarray(picture[0]).save(tmp_path / str(number % 2) / f"{number}.png")
    dataset = ImageFolderFlipped(folder=str(tmp_path), size=4)
    flipped_share(dataset, ImageFolder(folder=str(tmp_path), size=4))
    assert dataset.describe().endswith("Training pictures are there as they are and flipped.")


def test_cifar10_is_flipped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    flipped_share(Cifar10Flipped(root=str(tmp_path)), Cifar10(root=str(tmp_path)))


# The source


@pytest.mark.parametrize("place", ["beside", "inside"])
def test_x_0_are_rows_of_the_source(place: str, tmp_path: Path) -> None:
    source = np.array([[5.0, 5, 5], [5, 5, 7], [9, 5, 6]])
    file = written(tmp_path / "all.npz", x=POINTS, x0=source)
    chosen = {"key": "x0"} if place == "inside" else written(tmp_path / "x0.npy", x=source)
    dataset = built(file, key="x", source=chosen)
    assert dataset.provides == ("points",), "solvers that need a normal source are left out"
    drawn = dataset.source(6000, Generator().manual_seed(0))
    assert drawn.dtype == torch.float32
    values, counts = drawn.unique(dim=0, return_counts=True)
    assert values.tolist() == source.tolist()
    assert (counts - 2000).abs().max() < 150
    torch.testing.assert_close(drawn.mean(0), torch.tensor([19 / 3, 5, 6]), atol=0.1, rtol=0)
    drawn.zero_()
    assert dataset.source(9, Generator().manual_seed(0)).abs().min() >= 5, "the rows are copied"


def test_the_source_is_read_once(tmp_path: Path) -> None:
    dataset = built(written(tmp_path / "x.npy", x=POINTS), source=written(tmp_path / "x0.npy", x=POINTS))
    first = dataset.source(9, Generator().manual_seed(0))
    (tmp_path / "x0.npy").unlink()
    assert torch.equal(dataset.source(9, Generator().manual_seed(0)), first)


def test_a_source_of_pictures_is_scaled_as_pictures(tmp_path: Path) -> None:
    file = written(tmp_path / "all.npz", x=LEVELS, x0=np.full((9, 1, 4, 5), 255, np.uint8))
    drawn = built(file, key="x", pictures="0 to 255", source={"key": "x0"}).source(20, Generator())
    assert drawn.unique().tolist() == [1]


# Keys and plans


def test_content_counts_in_the_key(tmp_path: Path) -> None:
    """The same bytes have the same key; another number in any of the files has another."""
    names = ("file", "labels", "test", "test_labels", "source")
    arrays = (POINTS[:30], LABELS[:30], POINTS[30:], LABELS[30:], POINTS[:9])
    parameters = {name: written(tmp_path / f"{name}.npy", x=array) for name, array in zip(names, arrays, strict=True)}
    first = REGISTRY.spec("dataset", "arrays", parameters)
    for name, array in zip(names, arrays, strict=True):
        written(tmp_path / f"{name}.npy", x=array)
        assert REGISTRY.spec("dataset", "arrays", parameters).digest == first.digest
        changed = array.copy()
        changed.flat[3] += 1
        written(tmp_path / f"{name}.npy", x=changed)
        other = REGISTRY.spec("dataset", "arrays", parameters)
        assert other.digest != first.digest, name
        assert other.text == first.text, "the draws stay the same"
        written(tmp_path / f"{name}.npy", x=array)
    assert REGISTRY.spec("dataset", "arrays", {"file": parameters["file"], "test": 0.3}).digest != first.digest


def test_all_that_its_code_reads_is_seen() -> None:
    assert not [line for line in REGISTRY.code("dataset", "arrays").unseen if "array" in Path(line.file).name]


@pytest.mark.parametrize(
    ("parameters", "provides"),
    [
        ({}, {"points", "normal_source"}),
        ({"pictures": "0 to 1"}, {"images", "normal_source"}),
        ({"labels": {"key": "y"}, "source": {"key": "y"}}, {"points", "classes"}),
        ({"labels": "x.npy", "pictures": "-1 to 1"}, {"images", "classes", "normal_source"}),
    ],
)
def test_plans_know_what_it_provides_without_opening_a_file(
    parameters: dict[str, Any], provides: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.npy").write_bytes(b"nothing that could be read")
    spec = REGISTRY.spec("dataset", "arrays", {"file": "x.npy", **parameters})
    assert set(REGISTRY.attribute(spec, "provides")) == provides


def test_a_plan_says_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x.npz"), x=LEVELS, y=LABELS, x0=LEVELS[:9])
    parameters = {"file": "x.npz", "key": "x", "labels": {"key": "y"}, "source": {"key": "x0"}, "pictures": "0 to 255"}
    assert Arrays(**parameters, horizontal_flips=True).describe() == (
        "50 pictures (1, 4, 5), of 4 classes, from array 'x' of x.npz; 0.2 of them are the test split. Training "
        "pictures are there as they are and flipped. x_0 is one of 9 rows of array 'x0' of x.npz."
    )


@pytest.mark.parametrize("name", ["cifar10", "image_folder", "mnist"])
def test_datasets_of_today_have_the_parameters_that_they_had(name: str) -> None:
    """Parameters count in keys and in the seeds of draws; those that were added do not at their defaults."""
    had = {"cifar10": ["root"], "mnist": ["root"], "image_folder": ["folder", "size", "grayscale"]}
    added = REGISTRY.attribute(ComponentSpec("dataset", name), "omitted_defaults")
    assert [each.name for each in REGISTRY.entry("dataset", name).parameters if each.name not in added] == had[name]


def test_plans_leave_out_what_needs_a_normal_source_or_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("x.npy"), x=POINTS)
    said = planned()
    assert said.exit_code == 0, said.output
    assert "50 points of dimension 3" in " ".join(said.output.split())
    assert "normal_source" not in said.output
    assert "'normal_source'" in planned("datasets=[{arrays: {file: x.npy, source: x.npy}}]").output
    refused = planned("training.class_conditional=true").exception
    assert "needs 'classes' or 'vectors', which arrays(file=x.npy) has not" in str(refused)


def test_it_is_shown_with_its_parameters() -> None:
    shown = json.loads(CliRunner().invoke(app, ["plugins", "show", "dataset", "arrays", "--json"]).stdout)
    assert shown["code"]["content"] == [
        *("file", "labels", "test", "test_labels", "source"),
        *("validation", "validation_labels"),
    ]

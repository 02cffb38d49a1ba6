"""Every built-in dataset conforms; image_folder and the downloaded ones on files that are written here."""

import numpy as np
import pytest
from built_ins import Case, cases
from PIL import Image
from torchvision_files import write_cifar10, write_idx

from fmbench.testing import DatasetConformance

DOWNLOADED = {"cifar10": "CIFAR10", "cifar10_flipped": "CIFAR10", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
OWN = ["arrays", "arrays_with_conditions", "image_folder", "image_folder_flipped"]
"""These read what somebody has made."""
VARIANTS = [
    ("gaussian", {"mean": [0, -1], "covariance": [[2, -0.5], [-0.5, 0.3]]}),
    ("transport", {"source": "checkerboard", "data": "s_curve"}),
    ("digits", {"validation": 0.2}),
    ("mnist_5k", {"validation": 0.1}),
]


class TestDatasets(DatasetConformance):
    @pytest.fixture(params=cases("dataset", VARIANTS, without=[*OWN, *DOWNLOADED]), ids=str)
    def component(self, request):
        return request.param.build()


def write_pictures(folder, groups):
    """Write 30 noisy pictures of several sizes into each group, as PNG and JPEG."""
    random = np.random.default_rng(0)
    for group in groups:
        (folder / group).mkdir(parents=True, exist_ok=True)
        for number in range(30):
            size = (20 + number % 7, 24 - number % 5, 3)
            picture = Image.fromarray(random.integers(0, 256, size, dtype=np.uint8))
            picture.save(folder / group / f"{number}.{'png' if number % 2 else 'jpg'}")


class TestImageFolder(DatasetConformance):
    @pytest.fixture(
        params=[
            ("image_folder", ["cats", "dogs"], False, 0.0),
            ("image_folder", [""], False, 0.0),
            ("image_folder", [""], True, 0.2),
            ("image_folder_flipped", ["cats", "dogs"], False, 0.3),
            ("image_folder", ["train", "val", "test"], False, "folder"),
        ],
        ids=["classes", "flat", "grey", "flipped", "split on disk"],
    )
    def component(self, request, tmp_path):
        name, groups, grayscale, validation = request.param
        write_pictures(tmp_path, groups)
        parameters = {"folder": str(tmp_path), "size": 16, "grayscale": grayscale, "validation": validation}
        dataset = Case("dataset", name, parameters).build()
        assert dataset.classes == (2 if "cats" in groups else 0)
        return dataset


class TestDownloaded(DatasetConformance):
    @pytest.fixture(params=[*sorted(DOWNLOADED), "cifar10_flipped 0.5", "mnist 0.5"])
    def component(self, request, tmp_path, monkeypatch):
        name, _, share = request.param.partition(" ")
        if DOWNLOADED[name] == "CIFAR10":
            write_cifar10(tmp_path, monkeypatch)
        else:
            write_idx(tmp_path, DOWNLOADED[name], monkeypatch)
        return Case("dataset", name, {"root": str(tmp_path), "validation": float(share or 0)}).build()


def write_arrays(folder):
    """Write points and pictures with labels and a source, in one file; return its name."""
    random = np.random.default_rng(0)
    file = folder / "own.npz"
    np.savez(
        file,
        points=random.normal(size=(60, 3)),
        pictures=random.integers(0, 256, (60, 1, 4, 5), dtype=np.uint8),
        y=random.permutation(60) % 3,
        c=random.normal(size=(60, 2)),
        from_points=random.normal(size=(40, 3)),
        from_pictures=random.integers(0, 256, (40, 1, 4, 5), dtype=np.uint8),
    )
    return str(file)


PICTURES = {"key": "pictures", "pictures": "0 to 255"}
OWN_ARRAYS = {
    "points": {"key": "points"},
    "labelled points from a source": {"key": "points", "labels": {"key": "y"}, "source": {"key": "from_points"}},
    "pictures": PICTURES,
    "held out": {"key": "points", "labels": {"key": "y"}, "validation": 0.25},
    "flipped pictures": {**PICTURES, "labels": {"key": "y"}, "horizontal_flips": True},
    "pictures from pictures": {**PICTURES, "source": {"key": "from_pictures"}},
}


class TestArrays(DatasetConformance):
    @pytest.fixture(params=OWN_ARRAYS)
    def component(self, request, tmp_path):
        return Case("dataset", "arrays", {"file": write_arrays(tmp_path), **OWN_ARRAYS[request.param]}).build()


class TestArraysWithConditions(DatasetConformance):
    @pytest.fixture(params=[{"key": "points"}, {**PICTURES, "horizontal_flips": True}], ids=["points", "flipped"])
    def component(self, request, tmp_path):
        parameters = {"file": write_arrays(tmp_path), "labels": {"key": "c"}, **request.param}
        return Case("dataset", "arrays_with_conditions", parameters).build()

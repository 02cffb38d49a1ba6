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
            ("image_folder", ["cats", "dogs"], False),
            ("image_folder", [""], False),
            ("image_folder", [""], True),
            ("image_folder_flipped", ["cats", "dogs"], False),
        ],
        ids=["classes", "flat", "grey", "flipped"],
    )
    def component(self, request, tmp_path):
        name, groups, grayscale = request.param
        write_pictures(tmp_path, groups)
        parameters = {"folder": str(tmp_path), "size": 16, "grayscale": grayscale}
        dataset = Case("dataset", name, parameters).build()
        assert dataset.classes == (len(groups) if groups != [""] else 0)
        return dataset


class TestDownloaded(DatasetConformance):
    @pytest.fixture(params=sorted(DOWNLOADED))
    def component(self, request, tmp_path, monkeypatch):
        if DOWNLOADED[request.param] == "CIFAR10":
            write_cifar10(tmp_path, monkeypatch)
        else:
            write_idx(tmp_path, DOWNLOADED[request.param], monkeypatch)
        return Case("dataset", request.param, {"root": str(tmp_path)}).build()


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

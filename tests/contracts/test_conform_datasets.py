"""Every built-in dataset conforms; image_folder and the downloaded ones on files that are written here."""

import numpy as np
import pytest
from built_ins import Case, cases
from PIL import Image
from torchvision_files import write_cifar10, write_idx

from fmbench.testing import DatasetConformance

DOWNLOADED = {"cifar10": "CIFAR10", "fashion_mnist": "FashionMNIST", "mnist": "MNIST"}
VARIANTS = [
    ("gaussian", {"mean": [0, -1], "covariance": [[2, -0.5], [-0.5, 0.3]]}),
    ("transport", {"source": "checkerboard", "data": "s_curve"}),
]


class TestDatasets(DatasetConformance):
    @pytest.fixture(params=cases("dataset", VARIANTS, without=["image_folder", *DOWNLOADED]), ids=str)
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
    @pytest.fixture(params=[(["cats", "dogs"], False), ([""], False), ([""], True)], ids=["classes", "flat", "grey"])
    def component(self, request, tmp_path):
        groups, grayscale = request.param
        write_pictures(tmp_path, groups)
        parameters = {"folder": str(tmp_path), "size": 16, "grayscale": grayscale}
        dataset = Case("dataset", "image_folder", parameters).build()
        assert dataset.classes == (len(groups) if groups != [""] else 0)
        return dataset


class TestDownloaded(DatasetConformance):
    @pytest.fixture(params=sorted(DOWNLOADED))
    def component(self, request, tmp_path, monkeypatch):
        if request.param == "cifar10":
            write_cifar10(tmp_path, monkeypatch)
        else:
            write_idx(tmp_path, DOWNLOADED[request.param], monkeypatch)
        return Case("dataset", request.param, {"root": str(tmp_path)}).build()

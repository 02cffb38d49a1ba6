"""Scores with Inception, whose weights do not ship: what is said without them, what it sees, and torch-fidelity's."""

import hashlib

import numpy as np
import pytest
import torch
from inception_weights import random_inception
from picture_sets import Pictures, torch_fidelitys

from fmbench import DataError
from fmbench.testing.evidence import make_evidence
from fmbench_metrics import inception, kid
from fmbench_metrics.fid import FID
from fmbench_metrics.kid import KID
from fmbench_metrics.precision import Precision
from fmbench_metrics.recall import Recall


@pytest.mark.parametrize("metric", [FID, KID, Precision, Recall])
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


@pytest.fixture(scope="module", name="random_inception")
def random_inception_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    yield path, random_inception(path)
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


def blotches(n, contrast, seed):
    """Return colour pictures of 32x32: smooth blotches under a little noise."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.interpolate(torch.randn(n, 3, 4, 4, generator=generator), (32, 32), mode="bilinear")
    return (contrast * smooth + 0.1 * torch.randn(n, 3, 32, 32, generator=generator)).clamp(-1, 1)


def done_once(function):
    """Return a function of one array that remembers its values."""
    known = {}

    def remembered(array):
        key = array.tobytes()
        if key not in known:
            known[key] = function(array)
        return known[key]

    return remembered


def test_scores_with_inception_are_torch_fidelitys(random_inception, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path, size = str(random_inception[0]), 8
    monkeypatch.setattr(kid, "SUBSET_SIZE", size)
    # Every layer as it is, on an eighth of the pixels that it usually sees; and FID's one slow step is done once.
    monkeypatch.setattr(FeatureExtractorInceptionV3, "INPUT_IMAGE_SIZE", 107)
    monkeypatch.setattr(np.linalg, "eigvals", done_once(np.linalg.eigvals))
    real, samples = blotches(18, 0.5, seed=0), blotches(16, 0.8, seed=3)
    options = {"fid": True, "kid": True, "prc": True, "kid_subset_size": size, "kid_subsets": 10}
    theirs = torch_fidelitys(
        samples, real, feature_extractor="inception-v3-compat", feature_extractor_weights_path=path, **options
    )
    evidence, ours = make_evidence(Pictures(real), samples), {}
    for metric in (FID(weights=path), KID(weights=path, subsets=10), Precision(weights=path), Recall(weights=path)):
        ours |= metric.compute(evidence)
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-4)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-4)
    assert 0 < ours["precision"] < 1
    assert 0 < ours["recall"] < 1

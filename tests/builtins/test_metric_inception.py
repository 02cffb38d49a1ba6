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
from fmbench_metrics.inception_score import InceptionScore, inception_scores
from fmbench_metrics.kid import KID
from fmbench_metrics.precision import Precision
from fmbench_metrics.recall import Recall
from fmbench_metrics.sfid import SFID


@pytest.mark.parametrize("metric", [FID, KID, Precision, Recall, SFID, InceptionScore])
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
    options |= {"isc": True, "isc_splits": 4}
    theirs = torch_fidelitys(
        samples, real, feature_extractor="inception-v3-compat", feature_extractor_weights_path=path, **options
    )
    evidence, ours = make_evidence(Pictures(real), samples), {}
    for metric in (FID(weights=path), KID(weights=path, subsets=10), Precision(weights=path), Recall(weights=path)):
        ours |= metric.compute(evidence)
    ours |= InceptionScore(weights=path, splits=4).compute(evidence)
    assert ours["inception_score"] == pytest.approx(theirs["inception_score_mean"], rel=1e-4)
    assert ours["inception_score_std"] == pytest.approx(theirs["inception_score_std"], rel=1e-3)
    assert ours["inception_score"] - 1 == pytest.approx(theirs["inception_score_mean"] - 1, rel=1e-2)
    assert ours["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
    assert ours["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    assert ours["precision"] == pytest.approx(theirs["precision"], rel=1e-4)
    assert ours["recall"] == pytest.approx(theirs["recall"], rel=1e-4)
    assert 0 < ours["precision"] < 1
    assert 0 < ours["recall"] < 1


def test_sfid_sees_the_first_channels_of_mixed_6_at_every_place(random_inception):
    """As ADM's evaluator: the channel last; and the first branch of the block is the first part of what it gives."""
    path, network = random_inception
    extractor = SFID(weights=str(path)).extractor("cpu")
    levels = torch.randint(0, 256, (2, 3, 20, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = []
    hook = network.Mixed_6d.register_forward_hook(lambda module, given, output: seen.append(output))
    network(levels)
    hook.remove()
    found = extractor.features(levels)
    assert found.shape == (2, extractor.dimensions) == (2, 2023)
    torch.testing.assert_close(found.reshape(2, 17, 17, 7), seen[0][:, :7].permute(0, 2, 3, 1), rtol=1e-3, atol=1e-4)
    assert extractor.name != FID(weights=str(path)).extractor("cpu").name


@pytest.mark.parametrize(("sure", "classes", "expected"), [(50.0, 7, 7.0), (50.0, 1, 1.0), (0.0, 7, 1.0)])
def test_the_inception_score_is_the_number_of_classes_that_are_surely_seen(sure, classes, expected):
    logits = sure * torch.eye(10)[torch.arange(700) % classes]
    assert float(inception_scores(logits, 1).item()) == pytest.approx(expected, rel=1e-6)


def test_the_inception_score_is_of_parts_and_refuses_too_many():
    logits = 3 * torch.randn(400, 5, generator=torch.Generator().manual_seed(0))
    whole, parts = inception_scores(logits, 1), inception_scores(logits, 10)
    assert parts.shape == (10,)
    assert float(parts.mean()) < float(whole.mean())  # a part sees fewer classes
    evidence = make_evidence(Pictures(torch.zeros(5, 1, 8, 8)), torch.zeros(5, 1, 8, 8))
    with pytest.raises(DataError, match="cuts the samples into 10 parts; found 5"):
        InceptionScore(extractor="digits").compute(evidence)

"""FID and KID with Inception, whose weights do not ship: what is said without them, and what it sees."""

import hashlib

import pytest
import torch

from fmbench import DataError
from fmbench_metrics import inception
from fmbench_metrics.fid import FID
from fmbench_metrics.kid import KID


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

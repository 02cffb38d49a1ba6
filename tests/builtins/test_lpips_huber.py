"""lpips_huber: torch-fidelity's distance, with gradients; its two terms; and what is said of missing and bad files."""

import pytest
import torch
from helpers import built_ins
from lpips_weights import write_weights

from fmbench import DataError
from fmbench.errors import ComponentError
from fmbench.testing.base import generator
from fmbench.testing.dummy_components import StraightPath
from fmbench_objectives._lpips import lpips
from fmbench_objectives.lpips_huber import LPIPSHuber
from fmbench_objectives.pseudo_huber import PseudoHuber


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("lpips"))


@pytest.fixture
def distance(files):
    module = lpips(files["vgg"], files["weights"], torch.device("cpu"))
    return lambda x, target, size: module(x, target, size)


@pytest.fixture
def torch_fidelitys(files, monkeypatch):
    """torch-fidelity's LPIPS on the same weights, by the size that pictures are shown at."""
    from torch_fidelity import sample_similarity_lpips as theirs
    from torchvision.models import vgg16

    with torch.device("meta"):
        vgg = vgg16(weights=None)
    vgg.load_state_dict(torch.load(files["vgg"]), assign=True, strict=False)
    monkeypatch.setattr(theirs, "torchvision_load_pretrained_vgg16", lambda: vgg)

    class WithoutDownload(theirs.SampleSimilarityLPIPS):
        def load_state_dict(self, state):
            return super().load_state_dict(torch.load(files["weights"]))

    monkeypatch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: {})
    return lambda size: WithoutDownload("lpips", sample_similarity_resize=size)


def levels(n, channels, size):
    """Return pictures at random 8-bit levels, uint8, and the same in [-1, 1]."""
    drawn = torch.randint(256, (n, channels, size, size), generator=generator(n + size), dtype=torch.uint8)
    return drawn, drawn / 127.5 - 1


def made_sample(t, n=3):
    x_0, x_1 = (torch.randn(n, 1, 8, 8, generator=generator(seed)) for seed in (0, 1))
    return StraightPath().sample(x_0, x_1.clamp(-1, 1), torch.full((n,), t), generator())


@pytest.mark.parametrize(("size", "shown"), [(20, 20), (8, 24), (40, 24)], ids=["as is", "enlarged", "shrunk"])
def test_lpips_is_torch_fidelitys(distance, torch_fidelitys, size, shown):
    (a, x), (b, y) = levels(3, 3, size), levels(2, 3, size)
    a, x = a[:2], x[:2]
    expected = torch_fidelitys(shown)(a, b)
    assert (expected > 0.01).all()
    torch.testing.assert_close(distance(x, y, shown), expected.flatten(), rtol=1e-4, atol=0)


def test_grey_pictures_are_shown_in_three_channels(distance):
    x, y = levels(2, 1, 16)[1], levels(2, 1, 16)[1].flip(0)
    torch.testing.assert_close(distance(x, y, 16), distance(x.repeat(1, 3, 1, 1), y.repeat(1, 3, 1, 1), 16))


def test_gradients_lead_to_the_target(distance):
    x, y = levels(2, 1, 16)[1].requires_grad_(), levels(2, 1, 16)[1].flip(0)
    before = distance(x, y, 16)
    (slope,) = torch.autograd.grad(before.sum(), x)
    assert not y.requires_grad
    step = 1e-3 / slope.norm()
    after = distance(x - step * slope, y, 16)
    assert (before - after).sum().item() == pytest.approx(1e-3 * slope.norm().item(), rel=0.1)


def test_gradients_are_finite_where_nothing_differs_and_nothing_shines(distance):
    x = torch.zeros(1, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(distance(x, torch.zeros(1, 1, 16, 16), 16).sum(), x)
    assert torch.isfinite(slope).all()


def test_from_noise_it_is_lpips_and_at_the_data_it_is_pseudo_huber(files, distance):
    objective = LPIPSHuber(**files, size=16)
    sample = made_sample(0.0)
    output = sample.dx_t + 0.3
    expected = distance(sample.x_0 + output, sample.x_1, 16)
    torch.testing.assert_close(objective.loss(output, sample), expected, rtol=1e-5, atol=0)

    sample = made_sample(1.0)
    shrunk = made_sample(1.0)
    shrunk.dx_t = sample.dx_t / 8  # 64 dimensions
    expected = PseudoHuber().loss(output / 8, shrunk)
    torch.testing.assert_close(objective.loss(output, sample), expected, rtol=1e-5, atol=1e-9)


def test_by_time_counts_lpips_by_the_time_that_is_left(files, distance):
    plain, by_time = LPIPSHuber(**files, size=16), LPIPSHuber(**files, size=16, by_time=True)
    sample = made_sample(0.0)
    assert torch.equal(plain.loss(sample.dx_t + 0.4, sample), by_time.loss(sample.dx_t + 0.4, sample))
    sample = made_sample(0.5)
    twice = by_time.loss(sample.dx_t + 0.4, sample) - plain.loss(sample.dx_t + 0.4, sample)
    torch.testing.assert_close(twice, distance(sample.x_1 + 0.2, sample.x_1, 16), rtol=1e-4, atol=0)
    assert torch.isfinite(by_time.loss(sample.dx_t + 0.4, made_sample(1.0))).all()


def test_pictures_of_two_channels_are_refused(files):
    sample = StraightPath().sample(torch.zeros(1, 2, 8, 8), torch.ones(1, 2, 8, 8), torch.zeros(1), generator())
    with pytest.raises(ValueError, match=r"1 or 3 channels; found shape \(2, 8, 8\)"):
        LPIPSHuber(**files).loss(sample.dx_t, sample)


def test_missing_and_broken_files(files, tmp_path):
    registry = built_ins()
    gone = str(tmp_path / "vgg16.pth")
    with pytest.raises(DataError, match=r"vgg16.pth is not there.*get https://download.pytorch.org"):
        LPIPSHuber(vgg=gone, weights=files["weights"])
    with pytest.raises(ComponentError, match=r"'vgg' of objective 'lpips_huber' names '.*vgg16.pth', which cannot be"):
        registry.spec("objective", "lpips_huber", {**files, "vgg": gone})
    (tmp_path / "noise.pth").write_bytes(b"noise")
    with pytest.raises(DataError, match=r"noise.pth is not a file of weights.* Get https://download.pytorch.org"):
        LPIPSHuber(vgg=str(tmp_path / "noise.pth"), weights=files["weights"])
    with pytest.raises(DataError, match=r"must hold a tensor lin0.model.1.weight.* Get https://github.com/toshas"):
        LPIPSHuber(vgg=files["vgg"], weights=files["vgg"])


def test_the_content_of_the_files_counts(files, tmp_path):
    registry = built_ins()
    copy = tmp_path / "weights.pth"
    heads = torch.load(files["weights"])
    torch.save(heads, copy)
    first = registry.spec("objective", "lpips_huber", {**files, "weights": str(copy)})
    torch.save({name: 2 * value for name, value in heads.items()}, copy)
    second = registry.spec("objective", "lpips_huber", {**files, "weights": str(copy)})
    assert first.text == second.text
    assert first.digest != second.digest


def test_it_goes_with_straight_paths_only():
    registry = built_ins()
    provides = {
        entry.name: registry.attribute(registry.spec("path", entry.name), "provides")
        for entry in registry.entries("path")
    }
    assert [name for name, capabilities in provides.items() if "straight" in capabilities] == ["linear"]

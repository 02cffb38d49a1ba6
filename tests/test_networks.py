"""The built-in networks: any size of picture, labels, precision, and that they learn."""

import pytest
import torch
from torch import nn

from fmbench_networks.mlp import MLP
from fmbench_networks.small_unet import SmallUNet, _from_patches, _to_patches


def parameter_count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 17, 30), (2, 5, 1), (1, 1, 1)])
@pytest.mark.parametrize("classes", [0, 4])
def test_small_unet_serves_pictures_of_any_size(shape, classes):
    module = SmallUNet(channels=4).build(shape, classes)
    x, t = torch.randn(3, *shape), torch.rand(3)
    output = module(x, t, torch.tensor([0, 1, 4])) if classes else module(x, t)
    assert output.shape == x.shape
    assert torch.isfinite(output).all()


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 6), (4, 3), (1, 1)])
def test_patches_round_trip(height, width):
    h = torch.randn(2, height, width, 3)
    assert torch.equal(_from_patches(_to_patches(h), height, width), h)


def test_linear_map_of_patches_is_a_strided_convolution():
    convolution, h = nn.Conv2d(3, 5, 2, stride=2).double(), torch.randn(2, 6, 8, 3, dtype=torch.float64)
    weight = convolution.weight.permute(0, 2, 3, 1).reshape(5, 12)
    expected = convolution(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    torch.testing.assert_close(_to_patches(h) @ weight.T + convolution.bias, expected)


def test_small_unet_refuses_points():
    with pytest.raises(ValueError, match="needs images"):
        SmallUNet().build((2,), 0)


def test_small_unet_grows_with_channels():
    sizes = [parameter_count(SmallUNet(channels=c).build((1, 8, 8), 0)) for c in (8, 16, 32)]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 500_000


@pytest.mark.parametrize("network", [MLP(), SmallUNet(channels=4)])
def test_no_label_is_the_label_after_the_last(network):
    module = network.build((1, 4, 4), 3)
    x, t = torch.randn(2, 1, 4, 4), torch.rand(2)
    assert torch.equal(module(x, t), module(x, t, torch.tensor([3, 3])))


def test_small_unet_does_not_care_for_the_memory_format():
    module = SmallUNet(channels=4).build((3, 8, 8), 0)
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    expected = module(x, t)
    module = module.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last), t), expected)


def test_small_unet_runs_under_autocast():
    module = SmallUNet(channels=4).build((1, 8, 8), 2)
    x, t, y = torch.randn(2, 1, 8, 8), torch.rand(2), torch.tensor([0, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = module(x, t, y)
    torch.testing.assert_close(output.float(), module(x, t, y), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("activation", ["relu", "silu", "tanh"])
@pytest.mark.parametrize("depth", [1, 3])
def test_mlp_has_the_layers_that_are_asked_for(activation, depth):
    module = MLP(width=7, depth=depth, activation=activation).build((2, 3), 0)
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in linear] == [7] * depth + [6]
    assert linear[0].in_features == 7  # six numbers and the time
    assert module(torch.zeros(5, 2, 3), torch.zeros(5)).shape == (5, 2, 3)


@pytest.mark.parametrize(("network", "shape"), [(MLP(width=32), (2,)), (SmallUNet(channels=8), (1, 8, 8))])
def test_learns_a_velocity_that_depends_on_time(network, shape):
    torch.manual_seed(0)
    module = network.build(shape, 0)
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3)
    first = None
    for _ in range(100):
        x, t = torch.randn(32, *shape), torch.rand(32)
        target = torch.cos(3 * t).view(-1, *[1] * len(shape)) * x
        loss = (module(x, t) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first = first or loss.item()
    assert loss.item() < 0.3 * first

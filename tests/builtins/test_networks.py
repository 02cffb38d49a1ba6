"""The built-in networks: any size of picture, labels, precision, and that they learn.

Those from the library diffusers have more tests in test_networks_diffusers.py.
"""

import pytest
import torch
from network_weights import moved, parameter_count
from torch import nn

from fmbench_networks.additive_time_mlp import AdditiveTimeMLP
from fmbench_networks.adm_unet import ADMUNet
from fmbench_networks.dit import DiT
from fmbench_networks.mlp import MLP
from fmbench_networks.simple_cnn import SimpleCNN
from fmbench_networks.small_unet import SmallUNet, _from_patches, _to_patches
from fmbench_networks.unet import UNet

IMAGE_NETWORKS = {
    "adm_unet": ADMUNet(channels=8, multipliers=(1, 2), attention=(1,), head_channels=8),
    "dit": DiT(width=32, depth=2),
    "simple_cnn": SimpleCNN(channels=16),
    "small_unet": SmallUNet(channels=4),
    "unet": UNet(channels=8),
}
NETWORKS = {"additive_time_mlp": AdditiveTimeMLP(width=64), "mlp": MLP(), **IMAGE_NETWORKS}


def every(networks):
    return pytest.mark.parametrize("network", networks.values(), ids=networks.keys())


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 17, 30), (2, 5, 1), (2, 1, 2)])
@pytest.mark.parametrize("classes", [0, 4])
@every(IMAGE_NETWORKS)
def test_pictures_of_any_size_are_served(network, shape, classes):
    module = network.build(shape, classes).requires_grad_(False)
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


@every(IMAGE_NETWORKS)
def test_points_are_refused(network):
    with pytest.raises(ValueError, match=r"needs images \(channels, height, width\); found shape \(2,\)"):
        network.build((2,), 0)


def test_small_unet_grows_with_channels():
    sizes = [parameter_count(SmallUNet(channels=c).build((1, 8, 8), 0)) for c in (8, 16, 32)]
    assert sizes == sorted(sizes)
    assert sizes[-1] < 500_000


@every(NETWORKS)
def test_no_label_is_the_label_after_the_last(network):
    module = network.build((1, 4, 4), 3)
    x, t = torch.randn(2, 1, 4, 4), torch.rand(2)
    assert torch.equal(module(x, t), module(x, t, torch.tensor([3, 3])))


@every(IMAGE_NETWORKS)
def test_the_memory_format_does_not_matter(network):
    module = moved(network.build((3, 8, 8), 0))
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    expected = module(x, t)
    module = module.to(memory_format=torch.channels_last)
    torch.testing.assert_close(module(x.to(memory_format=torch.channels_last), t), expected)


@every(IMAGE_NETWORKS)
def test_images_run_under_autocast(network):
    module = moved(network.build((1, 8, 8), 2))
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


@every(NETWORKS)
def test_the_loss_falls_on_a_fixed_batch_with_labels(network):
    torch.manual_seed(0)
    module = network.build((1, 8, 8), 3)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    x, t, y = torch.randn(12, 1, 8, 8), torch.linspace(0, 1, 12), torch.arange(12) % 3
    target = (t + y).view(-1, 1, 1, 1).expand_as(x)
    losses = []
    for _ in range(30):
        loss = (module(x, t, y) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("activation", ["relu", "selu", "silu", "tanh"])
def test_the_time_enters_additive_time_mlp_as_a_shift_of_the_input(activation):
    module = AdditiveTimeMLP(width=16, depth=2, activation=activation).build((1, 3, 3), 0).double()
    x, t, s = torch.randn(4, 1, 3, 3).double(), torch.rand(4).double(), torch.rand(4).double()
    shift = (module.time(t[:, None]) - module.time(s[:, None])).reshape(x.shape)
    torch.testing.assert_close(module(x, t), module(x + shift, s))
    assert not torch.allclose(module(x, t), module(x, s))


def test_additive_time_mlp_clips_its_output_where_asked():
    x, t = 100 * torch.randn(32, 5), torch.rand(32)
    torch.manual_seed(0)
    free = AdditiveTimeMLP(width=16).build((5,), 0)(x, t)
    torch.manual_seed(0)
    clipped = AdditiveTimeMLP(width=16, clip=3.0).build((5,), 0)(x, t)
    assert free.abs().max() > 3
    torch.testing.assert_close(clipped, free.clamp(-3, 3))


@pytest.mark.parametrize("depth", [1, 3])
def test_simple_cnn_sees_as_far_as_its_depth(depth):
    module = SimpleCNN(channels=8, depth=depth).build((1, 15, 15), 0)
    x, t = torch.zeros(1, 1, 15, 15, requires_grad=True), torch.zeros(1)
    module(x, t)[0, 0, 7, 7].backward()
    rows = x.grad[0, 0].abs().sum(dim=1).nonzero().flatten()
    assert (rows.min().item(), rows.max().item()) == (7 - depth - 1, 7 + depth + 1)


def test_unet_sees_farther_than_its_convolutions_at_full_resolution():
    module = UNet(channels=4).build((1, 33, 33), 0)
    x, t = torch.zeros(1, 1, 33, 33, requires_grad=True), torch.zeros(1)
    module(x, t)[0, 0, 16, 16].backward()
    assert x.grad[0, 0].abs().sum(dim=1).count_nonzero() > 20


@pytest.mark.parametrize(("network", "deepest"), [(SimpleCNN, 64), (UNet, 32)])
def test_convolutions_grow_with_channels(network, deepest):
    sizes = [parameter_count(network(channels=c).build((3, 32, 32), 10)) for c in (deepest // 4, deepest // 2, deepest)]
    assert sizes == sorted(sizes)
    assert 10 < sizes[-1] / sizes[0] < 16  # as the square of the channels, for the most part


@every(NETWORKS)
def test_vectors_add_parameters_only_where_there_are_some(network):
    shape = (1, 8, 8)
    plain, told = network.build(shape, 0), network.build(shape, 0, condition_width=3)
    assert parameter_count(network.build(shape, 0, condition_width=0)) == parameter_count(plain)
    assert parameter_count(told) > parameter_count(plain)
    x, t = torch.randn(4, *shape), torch.rand(4)
    torch.testing.assert_close(told(x, t), told(x, t, torch.full((4, 3), torch.nan)))  # none given is none
    with pytest.raises(ValueError, match="built for condition vectors of 3 numbers; found a tensor of shape"):
        told(x, t, torch.randn(4, 2))


@every(NETWORKS)
def test_a_missing_vector_leaves_all_gradients_finite(network):
    module = moved(network.build((1, 8, 8), 0, condition_width=2))
    y = torch.tensor([[0.5, -1.0], [torch.nan, torch.nan], [torch.nan, 1.0], [2.0, 0.0]])
    x, t = torch.randn(4, 1, 8, 8), torch.rand(4)
    output = module(x, t, y)
    output.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)
    y[2] = torch.nan
    torch.testing.assert_close(module(x, t, y), output)  # a row with one NaN is as good as one of NaN alone

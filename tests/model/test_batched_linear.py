"""The linear layers of a fleet compute, for each member, what its own layer computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fmbench.model.batched.linear import quicken_linear_layers, stacked_linear
from fmbench.model.batched.networks import Networks


class Doubled(nn.Linear):
    """Somebody's own kind of linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def layers(inputs: int, outputs: int, *, bias: bool, kind: type[nn.Linear] = nn.Linear) -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(kind(inputs, outputs, bias=bias)).double() for _ in range(3)]


def rows(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.mark.parametrize("shape", [(5,), (5, 4), (5, 2, 3)], ids=str)
@pytest.mark.parametrize("inputs", [2, 40])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_each_member_alone(shape: tuple[int, ...], inputs: int, bias: bool) -> None:
    apart = layers(inputs, 7, bias=bias)
    x = rows(3 * shape[0], *shape[1:], inputs)
    expected = torch.cat([module(own) for module, own in zip(apart, x.chunk(3), strict=True)])
    parameters = [list(values) for values in zip(*(module.parameters() for module in apart), strict=True)]
    gradients = torch.autograd.grad(expected.sin().sum(), [x, *(p for values in parameters for p in values)])
    together = Networks(apart)
    found = together(x)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    of_x, *of_parameters = torch.autograd.grad(found.sin().sum(), [x, *together.parameters])
    torch.testing.assert_close(of_x, gradients[0], rtol=1e-12, atol=1e-12)
    for stacked, *own in zip(of_parameters, *(gradients[1 + m :: 3] for m in range(3)), strict=True):
        torch.testing.assert_close(stacked, torch.stack(own), rtol=1e-12, atol=1e-12)


def test_the_gradients_are_derivatives() -> None:
    x, weight, bias = rows(2, 4, 3), rows(2, 5, 3), rows(2, 5)
    assert torch.autograd.gradcheck(stacked_linear, (x, weight, bias))
    assert torch.autograd.gradcheck(lambda x, weight: stacked_linear(x, weight, None), (x, weight))


def test_a_layer_of_a_single_example_maps_too() -> None:
    modules = layers(4, 3, bias=True)
    alone = torch.stack([module(x) for module, x in zip(modules, rows(3, 4), strict=True)])
    parameters, buffers = torch.func.stack_module_state(modules)
    quicken_linear_layers(modules[0])

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        output: Tensor = torch.func.functional_call(modules[0], (parameters, buffers), (x,))
        return output

    torch.testing.assert_close(torch.func.vmap(call)(parameters, buffers, rows(3, 4)), alone, rtol=1e-12, atol=1e-12)
    shared = torch.func.vmap(call, in_dims=(0, 0, None))(parameters, buffers, rows(3, 4))
    torch.testing.assert_close(shared[:, 0], torch.func.vmap(call)(parameters, buffers, rows(3, 4)[:1].expand(3, 4)))


def test_a_layer_of_somebodys_own_kind_keeps_its_own_way() -> None:
    x = rows(6, 4)
    apart = layers(4, 3, bias=True, kind=Doubled)
    expected = torch.cat([module(own) for module, own in zip(apart, x.chunk(3), strict=True)])
    torch.testing.assert_close(Networks(apart)(x), expected, rtol=1e-12, atol=1e-12)


def test_autocast_holds_for_members_too() -> None:
    modules = [module.float() for module in layers(20, 6, bias=True)]
    x = rows(12, 20).float()
    with torch.autocast("cpu", torch.bfloat16):
        expected = torch.cat([module(own) for module, own in zip(modules, x.chunk(3), strict=True)])
        found = Networks(modules)(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    found.float().sum().backward()

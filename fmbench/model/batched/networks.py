"""Fleets: networks of one shape as one batched program, with the members' states and gradients apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fmbench.model.batched.linear import quicken_linear_layers
from fmbench.model.batched.tracing import Call, trace_calls


class Networks:
    """The networks of a fleet's members, called as one on the members' examples, one member after the other.

    A member alone is its module, as it is. Several are stacked: one tensor `(members, *shape)` a parameter, and the
    module is mapped over the first dimension (`torch.func`), where its matrix products become batched ones. Members
    share nothing, so the gradient of the sum of their losses is every member's own.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.members = len(modules)
        self.module = modules[0]
        self.call: Callable[..., Any] = modules[0]
        """What a member alone is called by: its module, or what was compiled of it."""
        self._names = list(self.module.state_dict())
        self._parameters: dict[str, Any] = dict(self.module.named_parameters())
        self._buffers: dict[str, Any] = dict(self.module.named_buffers())
        if self.members > 1:
            self._parameters, self._buffers = torch.func.stack_module_state(list(modules))
            quicken_linear_layers(self.module)
        self._mapped = torch.func.vmap(self._functional)
        self._programs: dict[tuple[Any, ...], Call] = {}

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters, stacked over the members where there are several."""
        return list(self._parameters.values())

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the output `(members * batch, *shape)` for inputs `(members * batch, ...)`."""
        if self.members == 1:
            alone: Tensor = self.call(*inputs)
            return alone
        split = [value.reshape(self.members, -1, *value.shape[1:]) for value in inputs]
        given = [*self._parameters.values(), *self._buffers.values(), *split]
        return self._program(given, split)(*given).flatten(0, 1)

    def _program(self, given: Sequence[Tensor], split: Sequence[Tensor]) -> Call:
        """Return what computes the output of parameters, buffers and inputs: traced where gradients will be taken."""
        if not torch.is_grad_enabled():
            return self._stacked
        device = split[0].device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        key = (autocast, *((value.shape, value.dtype) for value in split))
        if key not in self._programs:
            self._programs[key] = trace_calls(self._stacked, given)
        return self._programs[key]

    def _stacked(self, *given: Tensor) -> Tensor:
        """Map the module over parameters, buffers and inputs."""
        values = iter(given)
        parameters, buffers = ({name: next(values) for name in names} for names in (self._parameters, self._buffers))
        output: Tensor = self._mapped(parameters, buffers, *values)
        return output

    def _functional(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Tensor) -> Any:
        return torch.func.functional_call(self.module, (parameters, buffers), inputs)

    def part(self, stacked: Tensor, member: int) -> Tensor:
        """Return what of a stacked tensor `(members, *shape)` is a member's own; that of a member alone is as it is."""
        return stacked if self.members == 1 else stacked[member]

    def stack(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the members' tensors of one shape as one, `(members, *shape)`: the inverse of `part`."""
        return parts[0] if self.members == 1 else torch.stack(list(parts))

    def state(self, member: int) -> dict[str, Tensor]:
        """Return the state dict of a member's module."""
        if self.members == 1:
            return dict(self.module.state_dict())
        stacked = self._parameters | self._buffers
        return {name: self.part(stacked[name].detach(), member) for name in self._names}

    def averaged(self, member: int, average: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the state dict of a member's module with the averaged parameters, if there are any, in it.

        Each tensor of `average` is `(members, *shape)`; those of a member alone have the shapes of its parameters.
        """
        names = [name for name, parameter in self._parameters.items() if parameter.requires_grad]
        own = (self.part(value, member) for value in average)
        return self.state(member) | dict(zip(names, own, strict=False))

    @torch.no_grad()
    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Take the members' state dicts, whose tensors have the shapes of a member's own."""
        if self.members == 1:
            self.module.load_state_dict(states[0])
            return
        stacked = self._parameters | self._buffers
        for name in self._names:
            stacked[name].copy_(self.stack([state[name] for state in states]))

    @torch.no_grad()
    def clip_gradients(self, limit: float) -> None:
        """Scale the gradients of each member so that their norm, over all parameters, is at most `limit`."""
        if self.members == 1:
            nn.utils.clip_grad_norm_(self.parameters, limit, foreach=True)
            return
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
        scale = (limit / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(scale.view(-1, *[1] * (gradient.ndim - 1)))

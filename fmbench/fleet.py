"""Fleets: networks of one shape as one batched program, and which cells may join one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fmbench import global_random
from fmbench.assembly import Parts, Workshop, assemble, make_module
from fmbench.cells import TrainingCell
from fmbench.probing import network_inputs
from fmbench.stacked_linear import quicken_linear_layers
from fmbench.traced import Call, traced

log = logging.getLogger(__name__)

EXAMPLES = 4
"""So many examples tell whether networks compute the same together as one by one."""


class Networks:
    """The networks of a fleet's members, called as one on the members' examples, one member after the other.

    A member alone is its module, as it is. Several are stacked: one tensor `(members, *shape)` a parameter, and the
    module is mapped over the first dimension (`torch.func`), where its matrix products become batched ones. Members
    share nothing, so the gradient of the sum of their losses is every member's own.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.members = len(modules)
        self._module = modules[0]
        self.call: Callable[..., Any] = modules[0]
        """What a member alone is called by: its module, or what was compiled of it."""
        self._names = list(self._module.state_dict())
        self._parameters: dict[str, Any] = dict(self._module.named_parameters())
        self._buffers: dict[str, Any] = dict(self._module.named_buffers())
        if self.members > 1:
            self._parameters, self._buffers = torch.func.stack_module_state(list(modules))
            quicken_linear_layers(self._module)
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
            self._programs[key] = traced(self._stacked, given)
        return self._programs[key]

    def _stacked(self, *given: Tensor) -> Tensor:
        """Map the module over parameters, buffers and inputs."""
        values = iter(given)
        parameters, buffers = ({name: next(values) for name in names} for names in (self._parameters, self._buffers))
        output: Tensor = self._mapped(parameters, buffers, *values)
        return output

    def _functional(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Tensor) -> Any:
        return torch.func.functional_call(self._module, (parameters, buffers), inputs)

    def part(self, stacked: Tensor, member: int) -> Tensor:
        """Return what of a stacked tensor is a member's own."""
        return stacked if self.members == 1 else stacked[member]

    def stack(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the members' tensors as one: the inverse of `part`."""
        return parts[0] if self.members == 1 else torch.stack(list(parts))

    def state(self, member: int) -> dict[str, Tensor]:
        """Return the state dict of a member's module."""
        if self.members == 1:
            return dict(self._module.state_dict())
        stacked = self._parameters | self._buffers
        return {name: self.part(stacked[name].detach(), member) for name in self._names}

    def averaged(self, member: int, average: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return the state dict of a member's module with the averaged parameters, if there are any, in it."""
        names = [name for name, parameter in self._parameters.items() if parameter.requires_grad]
        own = (self.part(value, member) for value in average)
        return self.state(member) | dict(zip(names, own, strict=False))

    @torch.no_grad()
    def load(self, states: Sequence[dict[str, Tensor]]) -> None:
        """Take the members' state dicts."""
        if self.members == 1:
            self._module.load_state_dict(states[0])
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


def why_alone(cells: Sequence[TrainingCell], workshop: Workshop) -> str:
    """Return why cells of one `fleet_key` must be trained one by one; "" where they may be one fleet.

    They are tried on a few examples: what draws from torch's global generator or changes itself while it is called
    must be alone, and so must a network that torch cannot map over stacked parameters.
    """
    parts = [assemble(cell, workshop) for cell in cells]
    kinds = {
        (cell.coupling.digest, cell.path.digest, cell.t_distribution.digest, cell.objective.digest): own
        for cell, own in zip(cells, parts, strict=True)
    }
    # Of another seed, so that what a module drew when it was built, and holds beside its parameters, is found out.
    first = cells[0]
    other = next((cell for cell in cells if cell.seed != first.seed), replace(first, seed=first.seed + 1))
    modules = [make_module(cell, parts[0], workshop.device).train() for cell in (first, other)]
    held = {name for module in modules for name, _ in (*module.named_parameters(), *module.named_buffers())}
    if not set(modules[0].state_dict()) <= held:
        return "its state holds more than parameters and buffers of their own"
    random = global_random.state(workshop.device)
    inputs = network_inputs(parts[0], EXAMPLES, workshop.device)
    before = [{name: value.clone() for name, value in module.named_buffers()} for module in modules]
    try:
        with torch.no_grad(), parts[0].autocast(workshop.device)():
            apart = [module(*inputs) for module in modules]
            together = Networks(modules)(*(torch.cat([value, value]) for value in inputs))
        for each in kinds.values():
            _try_loss(each, apart[0].float(), workshop.device)
    except Exception as error:  # whatever torch or a plugin raises: alone, the cell fails by itself or goes well
        return f"it cannot be mapped: {str(error).partition(chr(10))[0]}"
    after = [dict(module.named_buffers()) for module in modules]
    if not all(
        torch.equal(value, now[name]) for old, now in zip(before, after, strict=True) for name, value in old.items()
    ):
        return "it changes a buffer while it is called"
    if not global_random.alike(random, global_random.state(workshop.device)):
        return "it draws from a global generator"
    tolerance = 0.05 if parts[0].precision == "bf16" else 1e-3
    if not torch.allclose(together, torch.cat(apart), rtol=tolerance, atol=tolerance):
        return "it computes something else together with others than alone"
    return ""


def _try_loss(parts: Parts, output: Tensor, device: str) -> None:
    """Pair, draw a sample and compute its loss, so that a look at the global generator tells whether they use it."""
    generator = Generator(device).manual_seed(0)
    x_0, x_1 = (parts.dataset.source(EXAMPLES, generator) for _ in range(2))
    _try_pairing(parts, x_0, x_1, generator)
    t = parts.t_distribution.quantile(torch.linspace(0.1, 0.9, EXAMPLES, device=device))
    with torch.no_grad():
        parts.objective.loss(output, parts.path.sample(x_0, x_1, t, generator))


def _try_pairing(parts: Parts, x_0: Tensor, x_1: Tensor, generator: Generator) -> None:
    """Pair a few examples. A coupling with a teacher is not tried, for it has not learnt yet."""
    if parts.coupling.teacher:
        return
    y = torch.arange(len(x_1), device=x_1.device) % parts.dataset.classes if parts.dataset.classes else None
    try:
        parts.coupling.pair(x_0.clone(), x_1.clone(), y, generator)
    except Exception as error:  # a coupling may ask for more than so few examples that are no data
        log.info("%s was not tried: %s", type(parts.coupling).__name__, error)


def joined(values: Iterable[Tensor]) -> Tensor:
    """Concatenate along the batch; one tensor is itself."""
    tensors = list(values)
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)

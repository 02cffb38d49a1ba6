"""From a cell, which is plain data, to what computes it: its components and its network; and calls in pieces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from fmbench.cells.cells import TrainingCell
from fmbench.cells.seeds import seed_for
from fmbench.components import contracts
from fmbench.errors import UserError
from fmbench.isolation import global_random
from fmbench.isolation.process_state import unchanged
from fmbench.model.context import WorkerContext
from fmbench.model.given_network import GivenNetwork
from fmbench.runtime.device import device_type
from fmbench.runtime.precision import choose_precision


@dataclass
class Components:
    """The components of a training cell, and what follows from them."""

    dataset: contracts.Dataset
    path: contracts.ProbabilityPath
    coupling: contracts.Coupling
    t_distribution: contracts.TDistribution
    objective: contracts.Objective
    network: contracts.Network
    classes: int
    precision: str
    condition_width: int = 0

    @property
    def is_conditional(self) -> bool:
        """Whether the network is told conditions."""
        return bool(self.classes or self.condition_width)

    def autocast(self, device: str) -> Callable[[], AbstractContextManager[object]]:
        """Return what makes the context in which the network is called: bfloat16 where that is the precision."""
        if self.precision != "bf16":
            return nullcontext
        return partial(torch.autocast, device_type(device), dtype=torch.bfloat16)


def assemble(cell: TrainingCell, context: WorkerContext) -> Components:
    """Build the components of a cell. Raises ComponentError or DataError."""
    dataset, path, coupling, t_distribution, objective = map(context.build, cell.components[:-1])
    network = GivenNetwork(cell.network, dataset, path, context) if cell.is_given else context.build(cell.network)
    told = bool(cell.settings["class_conditional"])
    classes, condition_width = (dataset.classes, dataset.condition_width) if told else (0, 0)
    precision = choose_precision(cell.settings["precision"], network.bf16, context.device)
    return Components(dataset, path, coupling, t_distribution, objective, network, classes, precision, condition_width)


def make_module(cell: TrainingCell, parts: Components, device: str) -> nn.Module:
    """Build the network with the initial weights of the cell's seed; the global random state is left as it was."""
    seed = seed_for(cell.seed, "initial_weights", cell.dataset.text)
    with unchanged(f"network {cell.network}", cell.network.digest), global_random.seeded(seed, device):
        try:
            module = build_network(parts.network, parts.dataset.shape, parts.classes, parts.condition_width)
        except ValueError as error:
            named = f"{cell.network.kind} {cell.network}"
            raise UserError(f"{named} cannot be built for {cell.dataset}: {error}") from error
    module = module.to(device)
    if parts.network.channels_last:
        module = module.to(memory_format=torch.channels_last)
    return module


def build_network(network: contracts.Network, shape: tuple[int, ...], classes: int, condition_width: int) -> nn.Module:
    """Return what a network builds; `condition_width` is told only where there are vectors, which not all can take.

    Raises UserError where a network says that it takes vectors, and its `build` has no such parameter.
    """
    if not condition_width:
        return network.build(shape, classes)
    build: Callable[..., nn.Module] = network.build
    known = inspect.signature(build).parameters.values()
    if not any(each.name == "condition_width" or each.kind is each.VAR_KEYWORD for each in known):
        name = network.registered_name or type(network).__name__
        rule = "so its build has a third parameter: build(self, shape, classes, condition_width=0)"
        raise UserError(f'network {name} says that it takes "vectors", {rule}')
    return build(shape, classes, condition_width=condition_width)


def in_pieces(call: Callable[..., Tensor], inputs: Sequence[Tensor], most: int | None, members: int = 1) -> Tensor:
    """Return `call(*inputs)`, made with at most `most` examples of each member at once.

    Inputs and output are `(members * batch, ...)`, one member after the other.
    """
    if most is None or len(inputs[0]) <= most * members:
        return call(*inputs)
    by_member = (torch.split(value.reshape(members, -1, *value.shape[1:]), most, 1) for value in inputs)
    outputs = [call(*(value.flatten(0, 1) for value in piece)) for piece in zip(*by_member, strict=True)]
    return torch.cat([value.reshape(members, -1, *value.shape[1:]) for value in outputs], 1).flatten(0, 1)

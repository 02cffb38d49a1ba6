"""A model that exists already, in the place of a network: what it is built from, in the process that computes."""

from __future__ import annotations

from typing import Any

from torch import nn

from fmbench.cells.component_spec import ComponentSpec
from fmbench.components import contracts
from fmbench.errors import DataError, UserError
from fmbench.model.context import WorkerContext
from fmbench.plugins.own_code import call, named_by, with_network_code


class GivenNetwork(contracts.Network):
    """Builds a model's network with its weights, as a network builds one without."""

    def __init__(
        self, spec: ComponentSpec, dataset: contracts.Dataset, path: contracts.ProbabilityPath, context: WorkerContext
    ) -> None:
        self._spec, self._dataset, self._path, self._context = spec, dataset, path, context
        self._model: contracts.Model = context.build(spec)

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        """Return the model's network for examples of `shape`. Raises DataError where its weights do not fit."""
        network = self._network(shape, classes) if self._model.network else None
        module = self._model.build(self._dataset, self._path, network)
        self._check_unchanged()
        if not isinstance(module, nn.Module):
            raise UserError(f"model {self._spec} must return a torch.nn.Module; it returned {type(module).__name__}")
        return module.float()

    def _check_unchanged(self) -> None:
        """Raise DataError where the files or the code are no longer those that were planned, and are in the key."""
        registry, spec = self._context.registry, self._spec
        now = with_network_code(registry, registry.spec(spec.kind, spec.name, spec.parameters))
        if now.fingerprint != spec.fingerprint:
            raise DataError(
                f"model {spec} is not what was planned: its file or its code has changed since, or a module that it "
                "imports has the name of another model's. Run again, or give the modules names of their own"
            )

    def _network(self, shape: tuple[int, ...], classes: int) -> Any:
        name, arguments = named_by(self._spec, self._model.network)
        if ":" in name:
            return call(name, dict(arguments))
        component: contracts.Network = self._context.build(self._context.registry.spec("network", name, arguments))
        return component.build(shape, classes)

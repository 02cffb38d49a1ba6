"""Oracles: samples of the exact marginal velocity, where the data are a known mixture of Gaussians."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Generator, Tensor

from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.components import contracts
from fmbench.components.gaussian_mixture import Mixture
from fmbench.errors import CellFailure
from fmbench.evaluation.metrics import check_values, intact, recorded
from fmbench.evaluation.noise_floor import evidence_without_network, identity_of
from fmbench.evaluation.sampling import check_finite, check_nfe, draw_samples, usual_batch
from fmbench.isolation.inplace_guard import guarding_inplace
from fmbench.model.build import in_pieces
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import source_samples


class ExactVelocity:
    """The marginal velocity of a mixture on a path, counted and made in pieces as `ModelVelocity` does."""

    def __init__(
        self, mixture: Mixture, path: contracts.ProbabilityPath, generator: Generator, most: int | None = None
    ) -> None:
        self.path = path
        self.generator = generator
        self.y: Tensor | None = None
        self.calls = 0
        self.most = most
        self._mixture = mixture

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.calls += x.shape[0]
        return in_pieces(self._exact, (x, t), self.most)

    def _exact(self, x: Tensor, t: Tensor) -> Tensor:
        exact = self._mixture.velocity(x.flatten(1).double(), t.double(), self.path.gaussian)
        return exact.to(x.dtype).reshape(x.shape)


class Oracle:
    """A reference cell, ready to be sampled from; it draws the source samples that trained cells of its seed draw."""

    def __init__(self, cell: ReferenceCell, context: WorkerContext) -> None:
        self.cell, self.context = cell, context
        assert cell.path is not None
        self.path: contracts.ProbabilityPath = context.build(cell.path)
        mixture = context.build(cell.dataset).mixture()
        if mixture is None:
            raise CellFailure(f'{cell.dataset} provides "mixture", and its mixture() returns none')
        self.mixture: Mixture = mixture

    def velocity(self) -> ExactVelocity:
        """Return the exact velocity."""
        generator = self.context.generator(self.cell, "solver_noise")
        return ExactVelocity(self.mixture, self.path, generator, self.context.evaluation_batch)

    def source(self, first: int, n: int, role: str = "evaluation_noise") -> Tensor:
        """Return source samples number `first`, ..., `first + n - 1` of a role."""
        return source_samples(self.context, self.cell.dataset, self.cell.seed, first, n, role)

    def labels(self, first: int, n: int) -> Tensor | None:
        """Return None: the exact velocity knows no labels."""
        return None

    def decode(self, x: Tensor) -> Tensor:
        """Return the samples `(n, *shape)` as they are: they are data."""
        return x


@torch.no_grad()
def measure_oracle(cell: ReferenceCell, metrics: Sequence[ComponentSpec], context: WorkerContext) -> None:
    """Draw the samples of an oracle, and leave what metrics say of them in the store."""
    folder = context.store.folder(cell.section, cell.key)
    oracle = Oracle(cell, context)
    with context.unchanged(f"solver {cell.solver}", cell.solver):
        drawn = draw_samples(oracle, cell, oracle.velocity(), usual_batch(oracle))
    samples, nfe = drawn.samples, drawn.nfe
    check_finite(samples)
    check_nfe(cell, nfe)

    def score(spec: ComponentSpec) -> dict[str, Any]:
        metric: contracts.Metric = context.build(spec)
        evidence = evidence_without_network(cell, context)
        evidence.path, evidence.velocity = oracle.path, cast("contracts.Velocity", oracle.velocity())
        evidence.samples, evidence.nfe = samples, nfe
        with intact(evidence, context):
            values = check_values(spec, metric.compute(evidence))
            identity = identity_of(spec, metric, evidence)
        return {"values": values, "identity": identity}

    folder.add_metrics(recorded(metrics, cell, context, guarding_inplace((samples,), score)))
    folder.finish({"facts": {"nfe": nfe}}, ())

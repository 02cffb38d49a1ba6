"""Samples of a trained cell by any solver, drawn as evaluations draw them. Writes nothing to the store."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import yaml
from torch import Tensor

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.cells.written_component import named
from fmbench.components.free_velocity import network_calls
from fmbench.components.solver_times import solver_times
from fmbench.components.step_counting import CannotCount, most_steps
from fmbench.errors import CellFailure, DamagedFile, UserError
from fmbench.evaluation.sampling import check_finite, check_nfe, draw_samples
from fmbench.export.stored_cells import StoredCells
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, guidance_component, load_trained, source_samples
from fmbench.plugins.guidance import guidance_spec


@dataclass(frozen=True)
class Asked:
    """How samples are drawn. None is what the evaluation had; of a training, the uniform grid and no guidance."""

    n: int = 64
    solver: str | None = None
    nfe: int | None = None
    grid: str | None = None
    guidance: str | None = None
    weights: str | None = None
    seed: int | None = None
    label: int | None = None


@dataclass(frozen=True)
class DrawnSamples:
    """Samples `(n, *shape)`, their labels, the network calls a sample, and the cell in words."""

    samples: Tensor
    labels: Tensor | None
    nfe: float
    said: str


@dataclass
class _Drawn:
    """A trained cell with noise of another seed, and with one class for all where that is asked."""

    trained: Trained
    cell: TrainingCell
    label: int | None
    context: WorkerContext

    def source(self, first: int, n: int, role: str = "evaluation_noise") -> Tensor:
        """Return source samples number `first`, ..., `first + n - 1` of the seed, `(n, *shape)`."""
        shape = self.trained.state_shape
        return source_samples(self.context, self.cell.dataset, self.cell.seed, first, n, role, shape)

    def labels(self, first: int, n: int) -> Tensor | None:
        """Return the conditions `(n,)`, those of evaluations or one class; None where the network takes none."""
        usual = self.trained.labels(first, n)
        return usual if usual is None or self.label is None else torch.full_like(usual, self.label)

    def decode(self, x: Tensor) -> Tensor:
        """Return what the solver ended at, `(n, *state_shape)`, as data `(n, *shape)`."""
        return self.trained.decode(x)


@torch.no_grad()
def draw(cells: StoredCells, key: str, asked: Asked, device: str = "cpu") -> DrawnSamples:
    """Return samples of the cell whose key begins so. Raises UserError."""
    found = cells.find(key)
    context = WorkerContext(cells.registry, cells.store, device)
    training = found if isinstance(found, TrainingCell) else found.training
    try:
        cell = _evaluation(found, asked, context)
        trained = load_trained(training, context)
        if asked.label is not None and not 0 <= asked.label < trained.parts.classes:
            classes = trained.parts.classes
            known = f"takes classes 0 to {classes - 1}" if classes else "takes no classes"
            raise UserError(f"the network of {training.key} {known}; found --class {asked.label}")
        velocity = trained.velocity(cell.guidance, cell.weights_name, cell.weaker)
        seeded = training if asked.seed is None else replace(training, seed=asked.seed)
        drawn = draw_samples(_Drawn(trained, seeded, asked.label, context), cell, velocity)
        check_finite(drawn.samples)
        check_nfe(cell, drawn.nfe)
    except DamagedFile as error:
        raise UserError(f"{error}; run the suite that it belongs to again") from error
    except CellFailure as error:
        raise UserError(f"{training.key} cannot be sampled so: {error}") from error
    return DrawnSamples(drawn.samples.cpu(), drawn.labels, drawn.nfe, str(cell))


def _evaluation(found: TrainingCell | EvaluationCell, asked: Asked, context: WorkerContext) -> EvaluationCell:
    """Return the evaluation that is asked for."""
    registry = context.registry
    base = found if isinstance(found, EvaluationCell) else None
    training = found if isinstance(found, TrainingCell) else found.training
    if asked.solver is None and base is None:
        raise UserError("a training has no solver of its own: give --solver and --nfe, euler and 16 say")
    solver = _component(context, "solver", asked.solver) if asked.solver is not None else base.solver  # type: ignore[union-attr]
    guidance: Any = base.guidance if base is not None else 1.0
    if asked.guidance is not None:
        guidance = _guidance(context, asked.guidance)
    _check_required(training, [solver, guidance_spec(guidance, registry)], context)
    weights, at_step, weaker = ("ema", None, None) if base is None else (base.weights, base.at_step, base.weaker)
    if asked.guidance is not None:
        weaker = None
    if asked.weights is not None:
        if asked.weights not in ("ema", "raw"):
            raise UserError(f'--weights is "ema" or "raw"; found {asked.weights!r}')
        weights, at_step = asked.weights, None
    settings = Settings({"samples": asked.n})
    if registry.attribute(solver, "adaptive"):
        if asked.nfe is not None:
            raise UserError(f"solver {solver} chooses its steps: it takes no --nfe")
        return EvaluationCell(training, solver, None, None, None, guidance, weights, settings, "", weaker, at_step)
    kept = base.grid if base is not None else None
    grid = _component(context, "grid", asked.grid or "uniform") if asked.grid or kept is None else kept
    nfe = asked.nfe if asked.nfe is not None else (base.nfe if base is not None else None)
    if nfe is None:
        raise UserError(f"solver {solver} takes as many steps as it is given: give --nfe, 16 say")
    steps = _steps(context, training, solver, grid, guidance, nfe)
    return EvaluationCell(training, solver, grid, nfe, steps, guidance, weights, settings, "", weaker, at_step)


def _component(context: WorkerContext, kind: str, written: str) -> ComponentSpec:
    """Return a component written as in a suite: `heun`, or `{dopri5: {rtol: 1e-4}}`. Raises UserError."""
    try:
        name, parameters = named(yaml.safe_load(written))
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"--{kind} is a name, or {{name: {{parameter: value}}}}; found {written!r}") from error
    return context.registry.spec(kind, name, parameters)


def _guidance(context: WorkerContext, written: str) -> float | ComponentSpec:
    try:
        return float(written)
    except ValueError:
        spec = _component(context, "guidance", written)
    if context.registry.attribute(spec, "weaker"):
        raise UserError(f"guidance {spec} asks for a weaker model, which only an evaluation has: give the key of one")
    return spec


def _check_required(training: TrainingCell, specs: list[ComponentSpec | None], context: WorkerContext) -> None:
    """Raise UserError where a component needs what the cell's others do not provide."""
    registry, settings = context.registry, training.settings.values
    provided = {name for spec in training.components for name in registry.attribute(spec, "provides")}
    if settings["class_conditional"]:
        provided |= {"labels", *(["no_label"] if settings.get("label_dropout") else [])}
    for spec in specs:
        if spec is not None and (missing := set(registry.attribute(spec, "requires")) - provided):
            needed = ", ".join(sorted(missing))
            raise UserError(f"{spec.kind} {spec} needs {needed}, which nothing in {training} provides")


def _steps(
    context: WorkerContext, training: TrainingCell, solver: ComponentSpec, grid: ComponentSpec, guidance: Any, nfe: int
) -> int:
    """Return the steps that spend an NFE exactly. Raises UserError where there are none."""
    registry = context.registry
    spec = guidance_spec(guidance, registry)
    a_step, offset = (int(registry.attribute(solver, name)) for name in ("nfe_per_step", "nfe_offset"))
    calls = 1 if spec is None else int(registry.attribute(spec, "network_calls"))
    if calls:
        steps, rest = divmod(nfe - offset * calls, a_step * calls)
        if steps >= 1 and not rest:
            return steps
        fits = [calls * (a_step * k + offset) for k in range(max(steps, 1), max(steps, 1) + 2)]
        raise UserError(f"solver {solver} calls networks {fits[0]} or {fits[1]} times, not {nfe}: give such an --nfe")
    component = guidance_component(guidance, context)
    built, path = context.build(solver), context.build(training.path)
    assert component is not None

    def counted(steps: int) -> int:
        return network_calls(component, built, path, solver_times(context.build(grid), steps))

    try:
        steps = most_steps(counted, nfe)
    except CannotCount as error:
        raise UserError(f"--nfe {nfe} cannot be spent by solver {solver} under guidance {spec}: {error}") from error
    if steps and counted(steps) == nfe:
        return steps
    raise UserError(f"solver {solver} under guidance {spec} spends no NFE of exactly {nfe}: give another --nfe")

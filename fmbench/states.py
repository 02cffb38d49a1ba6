"""A cell as the store holds it: its state, the keys of what is kept beside it, and how long such cells take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmbench.cells import ComponentSpec, EvaluationCell, TrainingCell, digest
from fmbench.plan.code import PORTRAIT_CODE
from fmbench.plan.evaluations import Sampling
from fmbench.source import code_fingerprint
from fmbench.store import CellFolder
from fmbench.timings import SPREAD, Measured, falling, measured

Likeness = tuple[str, str, int]
"""Digests of dataset and network, and the batch size."""


@dataclass
class CellState:
    """A cell's folder as it was found. `wanted` are the metrics that the suite asks of it."""

    folder: CellFolder
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wanted: tuple[ComponentSpec, ...] = ()

    @property
    def lacking(self) -> list[ComponentSpec]:
        """The metrics that are wanted and were not computed, nor tried."""
        return [spec for spec in self.wanted if spec.digest not in self.metrics]

    @property
    def todo(self) -> bool:
        """Whether there is something to compute: not done or not complete, and not failed before."""
        return self.failure is None and (self.result is None or bool(self.lacking))

    @property
    def failures(self) -> list[Mapping[str, Any]]:
        """What failed: the cell itself, then metrics that are wanted of it, each with a "status" and an "error"."""
        wanted = (self.metrics[spec.digest] for spec in self.wanted if spec.digest in self.metrics)
        return [*([self.failure] if self.failure else []), *(entry for entry in wanted if "error" in entry)]

    @property
    def status(self) -> str:
        """The status of the cell's row."""
        if self.failures:
            return str(self.failures[0]["status"])
        return "missing" if self.result is None else "ok"

    @property
    def error(self) -> str:
        """Why the cell failed, "" where it did not."""
        return "; ".join(str(failure["error"]) for failure in self.failures)


def sampler_key(cell: EvaluationCell) -> str:
    """Return the key of the cost of a cell's sampler; `fmbench.timings` says where it is kept.

    It does not depend on the weights, so that cells which differ only in training share one measurement; an adaptive
    solver's does.
    """
    training = cell.training
    grid = cell.grid.digest if cell.grid else f"{training.key} {cell.weights}"
    kept = f"{training.settings['class_conditional']} {training.settings['precision']}"
    axes = f"{cell.nfe} {cell.steps} {cell.guidance!r}"
    parts = (training.dataset, training.objective, training.network, cell.solver)
    return digest("sampler", *(part.digest for part in parts), grid, axes, kept, cell.code)


def unsteady(samplers: Iterable[tuple[EvaluationCell, CellFolder]]) -> list[EvaluationCell]:
    """Return the cells whose samplers' times differ much between repeats, or fall where the number of calls grows."""
    found: dict[str, EvaluationCell] = {}
    rows: dict[tuple[str, ...], dict[int, tuple[EvaluationCell, Measured]]] = {}
    for cell, folder in samplers:
        for name, time in measured_times(folder.metrics()).items():
            if time.wide:
                found[cell.key] = cell
            elif cell.nfe is not None:
                rows.setdefault((name, *_all_but_nfe(cell)), {})[cell.nfe] = (cell, time)
    for row in rows.values():
        for nfe in falling({nfe: time for nfe, (_, time) in row.items()}):
            found[row[nfe][0].key] = row[nfe][0]
    return list(found.values())


def measured_times(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Measured]:
    """Return the times among the metrics of a sampler that have a spread, by the names of their values."""
    values = {name: value for entry in metrics.values() for name, value in entry["values"].items()}
    return {name: measured(values, name) for name in values if name + SPREAD in values}


def _all_but_nfe(cell: EvaluationCell) -> tuple[str, ...]:
    """Return what cells share whose samplers differ in nothing but how many calls they make."""
    training, grid = cell.training, cell.grid
    specs = (training.dataset, training.objective, training.network, cell.solver, *([grid] if grid else []))
    return (*(spec.digest for spec in specs), repr(cell.guidance), training.settings.text)


def portrait_key(training: str) -> str:
    """Return the key under which the portrait of a training cell is kept, given the cell's key."""
    return digest("portrait", training, code_fingerprint(*PORTRAIT_CODE))


def likeness(cell: TrainingCell | EvaluationCell) -> Likeness:
    """Return what cells share that take about as long, for their size."""
    training = cell if isinstance(cell, TrainingCell) else cell.training
    return (training.dataset.digest, training.network.digest, training.settings["batch_size"])


def size_of(cell: TrainingCell | EvaluationCell | Sampling) -> int:
    """Return what a cell's time grows with: its steps, or its samples times its NFE (20 for an adaptive solver)."""
    if isinstance(cell, TrainingCell):
        return int(cell.settings["steps"])
    return int(cell.settings["samples"]) * (cell.nfe or 20)


def seconds_taken(state: CellState) -> float:
    """Return the seconds that a finished cell took, its metrics included."""
    own = float((state.result or {})["facts"]["seconds"])
    return own + sum(float(entry["seconds"]) for entry in state.metrics.values())

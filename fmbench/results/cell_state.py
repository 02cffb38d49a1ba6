"""A cell as the store holds it: its state; and which samplers' times are unsteady."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fmbench.cells.cells import EvaluationCell
from fmbench.cells.component_spec import ComponentSpec
from fmbench.cells.guidance import exact_text
from fmbench.cells.snapshots import WeightsSnapshot
from fmbench.store.cell_folder import CellFolder
from fmbench.store.sampler_timings import SPREAD, Measured, falling, measured


@dataclass
class CellState:
    """A cell's folder as it was found. `wanted` are the metrics that the suite asks of it, and `lacking` the snapshots
    that it asks of a training and that are not there.
    """

    folder: CellFolder
    result: Mapping[str, Any] | None = None
    failure: Mapping[str, Any] | None = None
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wanted: tuple[ComponentSpec, ...] = ()
    lacking: tuple[WeightsSnapshot, ...] = ()

    @property
    def missing_metrics(self) -> list[ComponentSpec]:
        """The metrics that are wanted and were not computed, nor tried."""
        return [spec for spec in self.wanted if spec.digest not in self.metrics]

    @property
    def todo(self) -> bool:
        """Whether there is something to compute: not done or not complete, and not failed before."""
        return self.is_untrained or (self.failure is None and bool(self.missing_metrics))

    @property
    def is_untrained(self) -> bool:
        """Whether the cell itself is to be computed, or, of a training, weights that it had on its way."""
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
    return (*(spec.digest for spec in specs), exact_text(cell.guidance), training.settings.text)

"""How long a task will take, judged by what like cells took."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.executors.tasks import (
    EvaluateFleetTask,
    EvaluateTask,
    MeasureTask,
    Task,
    TrainAndEvaluateTask,
    TrainTask,
)
from fmbench.results.collect import ResultsIndex
from fmbench.results.eta import Kind, likeness, rates, size_of


class Forecast:
    """Judges by the results that there were when it was first asked."""

    def __init__(self, results_index: ResultsIndex) -> None:
        self._results_index = results_index

    @cached_property
    def _rates(self) -> dict[Kind, float]:
        return rates(self._results_index)

    def seconds(self, task: Task) -> float | None:
        """Return the seconds that a task will take; None for a kind of which nothing is known, or with such a cell."""
        cells = list(_cells(task))
        kinds = [(("training" if isinstance(cell, TrainingCell) else "evaluation"), likeness(cell)) for cell in cells]
        if not cells or not self._rates.keys() >= set(kinds):
            return None
        return sum(size_of(cell) * self._rates[kind] for cell, kind in zip(cells, kinds, strict=True))


def _cells(task: Task) -> Iterator[TrainingCell | EvaluationCell]:
    """Yield what a task trains and evaluates. What samplers cost is another matter than to draw with them."""
    if isinstance(task, TrainTask):
        yield from task.cells
    elif isinstance(task, EvaluateTask) and not isinstance(task, MeasureTask):
        yield from (work.cell for work in task.work)
    elif isinstance(task, EvaluateFleetTask):
        for each in task.tasks:
            yield from _cells(each)
    elif isinstance(task, TrainAndEvaluateTask):
        yield from task.training.cells
        for each in task.evaluations:
            yield from _cells(each)

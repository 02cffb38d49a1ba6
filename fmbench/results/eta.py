"""How long the rest of a plan will take, judged by what like cells took. Reads a results index."""

from __future__ import annotations

from collections import defaultdict
from statistics import fmean

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.plan.evaluations import Sampling
from fmbench.results.cell_state import CellState
from fmbench.results.collect import ResultsIndex

Likeness = tuple[str, str, int]
"""Digests of dataset and network, and the batch size."""
Kind = tuple[str, Likeness]
"""Cells that are alike: trainings, or evaluations, with the same `likeness`."""


def expected_seconds(results_index: ResultsIndex) -> float | None:
    """Return the seconds of computing that lie ahead, judged by what like cells took; None where there is none.

    A training is like another with the same dataset, network and batch size, and is scaled by its steps; an evaluation
    with the same, scaled by its samples and NFE.
    """
    known, ahead = rates(results_index), _sizes_ahead(results_index)
    if not ahead.keys() <= known.keys():
        return None
    return sum((size * known[like] for like, size in ahead.items()), start=0.0)


def rates(results_index: ResultsIndex) -> dict[Kind, float]:
    """Return the seconds that a unit of size took, the mean over cells that are alike."""
    found: dict[Kind, list[float]] = defaultdict(list)
    for training in results_index.plan.trainings:
        state = results_index.trainings[training.key]
        if state.result is not None and training.samples is None:
            found["training", likeness(training)].append(seconds_taken(state) / size_of(training))
    for cell, state in results_index.stored_evaluations():
        if state.result is not None:
            found["evaluation", likeness(cell)].append(seconds_taken(state) / size_of(cell))
    return {like: fmean(rates) for like, rates in found.items()}


def _sizes_ahead(results_index: ResultsIndex) -> dict[Kind, int]:
    """Return the sizes of what is to be computed, added up over cells that are alike."""
    ahead: dict[Kind, int] = defaultdict(int)
    for training in results_index.plan.trainings:
        if results_index.trainings[training.key].todo:
            ahead["training", likeness(training)] += steps_ahead(results_index, training)
    whole: dict[int, int] = {}
    for training, samplings in results_index.plan.evaluations.groups:
        if id(samplings) not in whole:  # training cells share the tuples, so that a million evaluations are few
            whole[id(samplings)] = sum(map(size_of, samplings))
        if not results_index.failed(training):
            ahead["evaluation", likeness(training)] += whole[id(samplings)]
    for cell, state in results_index.stored_evaluations():
        if not state.todo and not results_index.failed(cell.training):
            ahead["evaluation", likeness(cell)] -= size_of(cell)
    return {like: size for like, size in ahead.items() if size}


def steps_ahead(results_index: ResultsIndex, cell: TrainingCell) -> int:
    """Return how many steps a cell that is to be computed is trained at most: of a trained one, up to what it lacks."""
    state = results_index.trainings[cell.key]
    return size_of(cell) if state.result is None else max((each.step for each in state.lacking), default=0)


def likeness(cell: TrainingCell | EvaluationCell) -> Likeness:
    """Return what cells share that take about as long, for their size."""
    training = cell if isinstance(cell, TrainingCell) else cell.training
    return (training.dataset.digest, training.network.digest, training.settings["batch_size"])


def size_of(cell: TrainingCell | EvaluationCell | Sampling) -> int:
    """Return what a cell's time grows with: its steps, or its samples times its NFE (20 for an adaptive solver)."""
    if isinstance(cell, TrainingCell):
        return max(1, int(cell.settings["steps"]))  # a model that exists already takes no step
    return int(cell.settings["samples"]) * int(cell.settings.values.get("noise_draws", 1)) * (cell.nfe or 20)


def seconds_taken(state: CellState) -> float:
    """Return the seconds that a finished cell took, its metrics included."""
    own = float((state.result or {})["facts"]["seconds"])
    return own + sum(float(entry["seconds"]) for entry in state.metrics.values())

"""Failures that are one mistake, told as one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.results.records import Records, TrainingRecord

T = TypeVar("T")
Cell = TrainingCell | EvaluationCell | ReferenceCell
_NUMBER = re.compile(r"(?<!line )\b\d[\d.,e+-]*")


@dataclass(frozen=True)
class Failed(Generic[T]):
    """What failed: a cell of a section, its status and why."""

    section: str
    cell: T
    status: str
    error: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What like failures share: all but the cell, and the numbers that are said of it, save those of lines."""
        return self.section, self.status, _NUMBER.sub("#", self.error)


@dataclass(frozen=True)
class Group(Generic[T]):
    """Failures of one kind."""

    members: tuple[Failed[T], ...]

    @property
    def first(self) -> Failed[T]:
        """The example."""
        return self.members[0]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.members)


def failures_of(records: Records) -> list[Failed[Cell]]:
    """Return what failed of a suite: trainings, models, evaluations whose training did not, floors and oracles."""
    own: list[Failed[Cell]] = [
        Failed(r.cell.unit if isinstance(r, TrainingRecord) else "evaluation", r.cell, r.status, r.error)
        for r in records.failed
    ]
    return own + [Failed(r.cell.section, r.cell, r.status, r.error) for r in records.lost_references]


def grouped(failures: Iterable[Failed[T]]) -> list[Group[T]]:
    """Return the failures by their kind, in the order in which the kinds appear."""
    found: dict[tuple[str, str, str], list[Failed[T]]] = {}
    for failure in failures:
        found.setdefault(failure.kind, []).append(failure)
    return [Group(tuple(alike)) for alike in found.values()]

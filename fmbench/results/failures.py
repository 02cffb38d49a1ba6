"""Failures that are one mistake, told as one: which component, which line of whose code, what it says, how many cells.

A failure is kept as one line of text, "solver mine: IndexError: out of range (mine.py, line 13)", from which its parts
are read again: stores of all versions hold it so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.io.printable_text import count
from fmbench.results.records import COMPONENT_AXES, Records, TrainingRecord

T = TypeVar("T")
Cell = TrainingCell | EvaluationCell | ReferenceCell
_NUMBER = re.compile(r"(?<!line )\b\d[\d.,e+-]*")
_KINDS = (*COMPONENT_AXES, "model", "solver", "grid", "guidance", "metric")
_COMPONENT = re.compile(rf"((?:{'|'.join(_KINDS)}) \S.*?): ")
_PLACE = re.compile(r" ?\(([^()]+), line (\d+)\)$")


@dataclass(frozen=True)
class Failed(Generic[T]):
    """What failed: a cell of a section, its status and why."""

    section: str
    cell: T
    status: str
    error: str

    @property
    def kind(self) -> tuple[str, str]:
        """What like failures share: all but the cell, and the numbers that are said of it, save those of lines."""
        return self.status, _NUMBER.sub("#", self.error)


@dataclass(frozen=True)
class Group(Generic[T]):
    """Failures of one kind.

    `component` is whose fault it is, "solver mine" say, `place` the line of code, "mine.py:13" say, each "" where that
    is not known, and `mistake` what the first error says besides them.
    """

    members: tuple[Failed[T], ...]

    @property
    def first(self) -> Failed[T]:
        """The example."""
        return self.members[0]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.members)

    @property
    def units(self) -> dict[str, int]:
        """How many there are of each unit: training, model, evaluation, floor, oracle."""
        return dict(Counter(failed.section for failed in self.members))

    @property
    def component(self) -> str:
        """The component in whose code the line is."""
        return self._parts[0]

    @property
    def place(self) -> str:
        """The line of code, of the user's own where there is one."""
        return self._parts[1]

    @property
    def mistake(self) -> str:
        """What the first error says, without component and place."""
        return self._parts[2]

    @property
    def counted(self) -> str:
        """How many there are, in words: "4 evaluations and 1 oracle"."""
        return " and ".join(count(number, unit) for unit, number in self.units.items())

    @property
    def said(self) -> str:
        """The group as one line: "4 evaluations, solver mine: mine.py:13 IndexError: out of range"."""
        whose = f"{self.counted}, {self.component}" if self.component else self.counted
        status = "" if self.first.status == "error" else self.first.status
        said = " ".join(filter(None, (self.place, self.mistake)))
        return f"{whose}: {': '.join(filter(None, (status, said))) or 'no reason is on record'}"

    def as_data(self) -> dict[str, Any]:
        """Return the group as data: cells, units, status, component, place, mistake and said."""
        parts = {"component": self.component, "place": self.place, "mistake": self.mistake, "said": self.said}
        return {"cells": self.count, "units": self.units, "status": self.first.status, **parts}

    @cached_property
    def _parts(self) -> tuple[str, str, str]:
        """Component, place and the rest of the first error."""
        text, component, place = self.first.error, "", ""
        while found := _COMPONENT.match(text):  # a metric's is named twice: by its row, and by its line
            component, text = found[1], text[found.end() :]
        if found := _PLACE.search(text):
            place, text = f"{found[1]}:{found[2]}", text[: found.start()]
        return component, place, text


def failures_of(records: Records) -> list[Failed[Cell]]:
    """Return what failed of a suite: trainings, models, evaluations whose training did not, floors and oracles."""
    own: list[Failed[Cell]] = [
        Failed(r.cell.unit if isinstance(r, TrainingRecord) else "evaluation", r.cell, r.status, r.error)
        for r in records.failed
    ]
    return own + [Failed(r.cell.section, r.cell, r.status, r.error) for r in records.lost_references]


def grouped(failures: Iterable[Failed[T]]) -> list[Group[T]]:
    """Return the failures by their kind, in the order in which the kinds appear."""
    found: dict[tuple[str, str], list[Failed[T]]] = {}
    for failure in failures:
        found.setdefault(failure.kind, []).append(failure)
    return [Group(tuple(alike)) for alike in found.values()]


def groups_of(records: Records, *, missing: bool = True) -> list[Group[Cell]]:
    """Return what failed of a suite by its cause; `missing` says whether cells that nobody computed yet are in it."""
    return grouped(failure for failure in failures_of(records) if missing or failure.status != "missing")

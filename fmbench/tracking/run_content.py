"""What an MLflow run shows of a cell, as plain data. Imports no mlflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from fmbench.cells.keys import canonical, digest
from fmbench.io.printable_text import visible
from fmbench.tracking.logged_models import NetworkToLog
from fmbench.tracking.view_state import View

SUPERSEDED, CONFIGURATION, VARIANT = "fmbench.superseded", "fmbench.configuration", "fmbench.variant"
KIND, DATASET, SEEDS_OF = "fmbench.kind", "fmbench.dataset", "fmbench.seeds_of"
NOTE = "mlflow.note.content"
WHOLE_SUITE = "the suite as it stands"
"""What VARIANT says where nothing was changed by `--set` or `--filter`."""
CURRENT = "no"
"""What SUPERSEDED says of a run that no later version has replaced; MLflow's search finds no run without a tag."""

FORMAT_TAG, FORMAT = "fmbench.format", "1"
"""The version of what a run's names, tags and steps mean, raised where that changes. A run without the tag was logged
before there was one."""


class MetricPoint(NamedTuple):
    """One number of a run: `name` at `step`, and once more as `table`, a name that tables and searches can reach.

    MLflow's search sees only the last step of a metric. `table` is "" where the value is one of many of a curve.
    """

    name: str
    value: float
    step: int
    table: str


EXPERIMENT = "{experiment}"
"""Stands in notes for the id of the experiment, which is known where they are written."""


class DatasetOfRun(NamedTuple):
    """A dataset as MLflow shows it: its label, the content address of its component, and where its data come from."""

    name: str
    digest: str
    source: str


@dataclass(frozen=True)
class Part:
    """What becomes known of a run at one time: a training, or one evaluation (one NFE) of a way of sampling.

    `pace` is the milliseconds from step to step, 0 where the steps are no time. `nfe` is the budget of an evaluation,
    None where it has none. `derived` makes the numbers that follow from what the values were made of: only a run that
    is written needs them, and they are in no mark.
    """

    key: str
    status: str
    error: str = ""
    values: tuple[MetricPoint, ...] = ()
    step: int = 0
    samples: Path | None = None
    pace: float = 0.0
    nfe: int | None = None
    derived: Callable[[], Sequence[MetricPoint]] | None = None

    def __post_init__(self) -> None:
        """Make the error such that a server can take it, and a page show it."""
        object.__setattr__(self, "error", visible(self.error))

    @cached_property
    def points(self) -> tuple[MetricPoint, ...]:
        """All numbers: the values, and those that are derived from what they were made of."""
        return (*self.values, *(self.derived() if self.derived is not None else ()))

    @cached_property
    def mark(self) -> str:
        """The digest of the part; it begins with `!` when the part failed."""
        values = [[v.name, repr(v.value), v.step] for v in self.values]
        failed = "" if self.status == "ok" else "!"
        return failed + digest(self.key, self.status, self.error, canonical(values), str(self.samples is not None))


@dataclass(frozen=True)
class RunContent:
    """A run of MLflow. `cell` is its identity in the experiment, `parent` that of the run above it.

    `tags` count in the mark, `notes` are tags that do not. `started` is in milliseconds, None when it is not known.
    `dataset` is what the run was made from, `network` what it trained, where that is logged. `folder` is copied into
    the run's artifacts, `documents` are written there as JSON. `views` are shown on the experiment's page; those that
    give way only where it has none of fmbench's. Of an evaluation, `axes` are its labels on each axis, and `unseeded`
    is its name without the seed. `keeps` are the configurations that the suite has: runs of others, of this run's
    variant, have left it.
    """

    kind: str
    cell: str
    name: str
    parent: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    started: int | None = None
    seconds: float = 0.0
    dataset: DatasetOfRun | None = None
    network: NetworkToLog | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    unseeded: str = ""
    keeps: frozenset[str] | None = None
    folder: Path | None = None
    documents: Mapping[str, Any] = field(default_factory=dict)
    views: Sequence[View] = ()
    views_give_way: bool = False

    def __post_init__(self) -> None:
        """Make all texts such that a server can take them, and a page show them."""
        object.__setattr__(self, "name", visible(self.name))
        for name in ("params", "tags", "notes"):
            texts = {visible(key): visible(text) for key, text in getattr(self, name).items()}
            object.__setattr__(self, name, texts)

    @cached_property
    def marks(self) -> dict[str, str]:
        """The mark of every part by its key; under "" that of params and tags."""
        of_dataset = [self.dataset.name, self.dataset.digest] if self.dataset else []
        shown = [view.text(0) for view in self.views]
        head = digest(canonical(dict(self.params)), canonical(dict(self.tags)), *of_dataset, *shown)
        network = {"network": "logged"} if self.network is not None else {}
        return {"": head, **network, **{key: part.mark for key, part in self.parts.items()}}

    def merged(self, later: RunContent) -> RunContent:
        """Return the content with what became known later."""
        return replace(later, parts={**self.parts, **later.parts})


def mark_of(marks: Mapping[str, str]) -> str:
    """Return one digest for all marks of a run."""
    return digest(*(f"{key}={mark}" for key, mark in sorted(marks.items())))

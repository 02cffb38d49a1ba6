"""How far a suite is, and who is at it, on whatever machine: read from the store alone, while others work."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fmbench.results.cell_state import CellState
from fmbench.results.collect import ResultsIndex
from fmbench.results.eta import expected_seconds
from fmbench.runner.detached import detached_runs
from fmbench.runner.session import Session
from fmbench.store.heartbeats import stated_by
from fmbench.store.holder import BEATS, HolderName, lease_seconds
from fmbench.store.leases import Leases

BETWEEN_LOOKS = 0.2
"""Seconds between two looks at a heartbeat that is waited for."""


@dataclass(frozen=True)
class AtWork:
    """A unit that somebody computes: `seconds` by the holder's own clock, `steps` of a training, as it last said.

    `alive` is False where the holder's counter stood still while it was looked at, or it is stopped: its lease lapses.
    """

    section: str
    key: str
    host: str
    pid: int
    job: str
    seconds: float
    step: int | None
    steps: int | None
    alive: bool


@dataclass(frozen=True)
class Status:
    """The state of a suite. `counts` has, of each kind of cell, total, done, failed, running and todo.

    `others` is the number of units of other suites that the store's holders compute, `expected_seconds` the computing
    that lies ahead (None where nothing like it was computed), and `detached` what was noted of the suite's runs
    without a terminal.
    """

    suite: str
    counts: Mapping[str, Mapping[str, int]]
    running: tuple[AtWork, ...]
    others: int
    expected_seconds: float | None
    detached: tuple[Mapping[str, Any], ...]

    def as_data(self) -> dict[str, Any]:
        """Return it as data."""
        return asdict(self)


def status_of(session: Session) -> Status:
    """Look at a suite in its store. Nothing is written."""
    leases = session.store.leases
    before = {name: leases.files.heartbeat(name) for name in leases.files.holders()}
    results_index = session.results_index(anywhere=True)
    alive = _alive(leases, before)
    stated = [unit for name in before for unit in stated_by(leases, name)]
    planned, steps = _planned(session, results_index, {unit.place for unit in stated}), _steps(session)
    running = [
        AtWork(
            section=unit.place.partition("/")[0],
            key=unit.place.partition("/")[2],
            host=unit.host,
            pid=unit.pid,
            job=unit.job,
            seconds=unit.seconds,
            step=unit.step,
            steps=None if unit.step is None else steps.get(unit.place),
            alive=unit.holder in alive,
        )
        for unit in stated
        if unit.place in planned
    ]
    return Status(
        session.suite.name,
        _counts(results_index, planned, {f"{unit.section}/{unit.key}" for unit in running}),
        tuple(sorted(running, key=lambda unit: (unit.section, unit.host, unit.pid, unit.key))),
        len(stated) - len(running),
        expected_seconds(results_index),
        tuple(_detached(session)),
    )


def _alive(leases: Leases, before: Mapping[str, bytes | None]) -> set[str]:
    """Return the holders that live: processes of this machine that run, and others whose counter changes.

    These are waited for, as long as two beats take.
    """
    alive, waited = set(), set()
    for text in before:
        name = HolderName.parsed(text)
        if name is not None and name.is_here and name.state() != "hidden":
            alive |= {text} if name.state() == "running" else set()
        elif any(stated_by(leases, text)):
            waited.add(text)
    ends = time.monotonic() + 2 * lease_seconds() / BEATS
    while True:
        changed = {text for text in waited if leases.files.heartbeat(text) != before[text]}
        alive, waited = alive | changed, waited - changed
        if not waited or time.monotonic() > ends:
            return alive
        time.sleep(BETWEEN_LOOKS)


def _planned(session: Session, results_index: ResultsIndex, stated: Collection[str]) -> dict[str, str]:
    """Return, by place, how those of the plan's cells count that somebody is at; "" for what is made on the way."""
    plan, sections = session.plan, {place.partition("/")[0] for place in stated}
    found = {f"training/{cell.key}": "trainings" for cell in plan.trainings}
    found |= {f"{cell.section}/{cell.key}": f"{cell.section}s" for cell in results_index.references.cells}
    found |= {f"sampler/{state.folder.path.name}": "samplers" for state in results_index.samplers.values()}
    found |= {f"portrait/{state.folder.path.name}": "" for state in results_index.flow_snapshots.values()}
    if "evaluation" in sections:  # a plan may have a million
        evaluations = plan.evaluations.keys()
        found |= {place: "evaluations" for key in evaluations if (place := f"evaluation/{key}") in stated}
    return {place: found[place] for place in stated if place in found}


def _steps(session: Session) -> dict[str, int]:
    """Return how many steps the plan's trainings take, by place."""
    return {f"training/{cell.key}": int(cell.settings["steps"]) for cell in session.plan.trainings if not cell.is_given}


def _counts(
    results_index: ResultsIndex, planned: Mapping[str, str], running: Iterable[str]
) -> dict[str, dict[str, int]]:
    """Return how many cells of each kind are done, failed, running and to be computed."""
    references: dict[str, list[CellState]] = {}
    for cell in results_index.references.cells:
        references.setdefault(f"{cell.section}s", []).append(results_index.reference(cell))
    counts = {name: dict(found) for name, found in results_index.counts().items()}
    for name, states in {**references, "samplers": list(results_index.samplers.values())}.items():
        if states:
            todo, failed = sum(state.todo for state in states), sum(bool(state.failures) for state in states)
            counts[name] = {"total": len(states), "done": len(states) - todo - failed, "failed": failed, "todo": todo}
    for found in counts.values():
        found["running"] = 0
    for place in running:
        if (name := planned[place]) in counts and counts[name]["todo"] > 0:
            counts[name]["running"] += 1
            counts[name]["todo"] -= 1
    return counts


def _detached(session: Session) -> Iterator[Mapping[str, Any]]:
    """Yield what was noted of the suite's runs without a terminal, by their beginning."""
    for run in detached_runs(session.store.root):
        if run.suite == session.suite.name:
            noted = {**asdict(run), "file": run.file.name, "at_work": run.is_at_work}
            yield {**noted, "place": run.place, "how_to_end": run.how_to_end}

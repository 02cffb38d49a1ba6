"""An alarm about time is measured again at another moment, and only what holds each time is one.

A machine that others share is slower for a while, and not for everything alike: the calibration beside a measurement
does not take all of that away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fmbench.cells.cells import TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.executors.base import Executor
from fmbench.executors.choose import make_executor
from fmbench.executors.tasks import EvaluateTask, Task
from fmbench.regression import Outcome, alarmed_samplers, alarmed_trainings
from fmbench.results.cell_keys import sampler_key
from fmbench.results.records import Records
from fmbench.runner.failure_messages import FailureMessages
from fmbench.runner.fleets import Fleets
from fmbench.runner.progress import Observer
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Session
from fmbench.store.sampler_timings import RELATIVE, joined
from fmbench.store.store import Store

MOMENTS = 2
"""How often, at most, what seems slower is measured again."""
STEPS = 96
"""A training is timed again over so many of its steps."""


def confirm(
    session: Session, records: Records, judge: Callable[[Records], Outcome], observer: Observer
) -> tuple[Records, Outcome]:
    """Judge the records; measure again, at other moments, what is worse about times, and judge with the least of them.

    All measurements stay in the store (see `fmbench.store.sampler_timings.joined`). Return the records and the outcome
    in the end.
    """
    first = outcome = judge(records)
    for moment in range(1, MOMENTS + 1):
        trainings, samplers = alarmed_trainings(records, outcome), alarmed_samplers(records, outcome)
        if not trainings and not samplers:
            if moment == 1:
                return records, outcome
            break
        counts = {"trainings": len(trainings), "samplers": len({sampler_key(cell) for cell in samplers})}
        said = [f"{count} {what}" for what, count in counts.items() if count]
        observer.say(f"{' and '.join(said)} seem slower than in the baseline: measured again ({moment})")
        scheduler = Scheduler(session, session.results_index(), observer, None)
        if trainings:
            train_again(scheduler, session, trainings)
        if samplers:
            scheduler.time_again(samplers)
        records = session.records(session.results_index())
        outcome = judge(records)
    return records, replace(outcome, notes=(*outcome.notes, _said(first, outcome)))


def train_again(scheduler: Scheduler, session: Session, cells: Sequence[TrainingCell]) -> None:
    """Time the first steps of trainings once more, in fleets as in a run, beside what the store holds of them.

    What is trained is thrown away. Students are left out: their teachers would have to be trained as well.
    """
    short = {_shortened(cell).key: cell for cell in cells if cell.teacher is None}
    shared = session.store.cache() if session.is_remote else None  # other machines must see what is trained
    with TemporaryDirectory(prefix="fmbench-again-", dir=shared) as folder:
        apart, config = Store(Path(folder)), replace(scheduler.config, store=folder, store_url="", trains=True)
        again = [_shortened(cell) for cell in short.values()]
        with closing(make_executor(session.options.executor, config, session.options)) as executor:
            _compute(executor, Fleets(session.store.root, config, again).ready(), scheduler.failure_messages)
            timed = {key: _timed(scheduler, session, cell) for key, cell in short.items()}
            trained = (cell for cell in again if apart.folder("training", cell.key).result() is not None)
            tasks = (EvaluateTask(cell, timed[cell.key], ()) for cell in trained if timed[cell.key])
            _compute(executor, tasks, scheduler.failure_messages)
        for key, cell in short.items():
            found = session.store.folder("training", cell.key)
            with found.lock():
                before = found.metrics()
                after = apart.folder("training", key).metrics()
                found.add_metrics(joined(before, {name: _paced(before[name], new) for name, new in after.items()}))


def _compute(executor: Executor, tasks: Iterable[Task], failure_messages: FailureMessages) -> None:
    """Compute tasks. What fails is said, and not measured again."""
    for task in tasks:
        executor.submit(task)
    for event in executor.events():
        if event.what == "failed":
            failure_messages.failed(event.section, event.key, event.status, event.text)


def _timed(scheduler: Scheduler, session: Session, cell: TrainingCell) -> tuple[ComponentSpec, ...]:
    """Return the metrics of a training that hold a time in units of a calibration's."""
    known = session.store.folder("training", cell.key).metrics()
    relative = {digest for digest, metric in known.items() if any(RELATIVE in name for name in metric["values"])}
    return tuple(spec for spec in scheduler.results_index.wanted(cell, "training") if spec.digest in relative)


def _paced(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a metric of the first steps with what it says of a whole training left as it was."""
    values = {name: value if RELATIVE in name else old["values"][name] for name, value in new["values"].items()}
    return {**new, "values": values}


def _shortened(cell: TrainingCell) -> TrainingCell:
    steps = min(int(cell.settings["steps"]), STEPS)
    return replace(cell, settings=Settings({**cell.settings.values, "steps": steps}))


def _said(first: Outcome, last: Outcome) -> str:
    alarms, held = (
        {(c.metric, c.what) for c in each.comparisons if c.verdict == "worse" and c.is_time} for each in (first, last)
    )
    lost = [f"{metric} of {what}" for metric, what in sorted(alarms - held)]
    shown = "; ".join(lost[:2]) + (f" and {len(lost) - 2} more" if len(lost) > 2 else "")
    return "times that seemed worse were measured again: " + (f"no alarm for {shown}" if lost else "they still do")

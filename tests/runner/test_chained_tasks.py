"""Fleets that are given out with the evaluations that follow, as to workers that are far away: the same is computed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from helpers import evaluation_cell, training_cell
from here_executor import HereExecutor

from fmbench.executors.tasks import EvaluateTask, Task, TrainAndEvaluateTask, TrainTask, Work
from fmbench.plugins.registry import Registry
from fmbench.runner.progress import Silent
from fmbench.runner.scheduler import Scheduler
from fmbench.runner.session import Options, Session, open_session

SUITE = """
name: chained
datasets: [gaussian_mixture]
training:
  paths: [linear]
  networks: [{mlp: {width: 8, depth: 1}}]
  seeds: [0, 1]
  steps: 30
  class_conditional: true
evaluation:
  solvers: [euler]
  guidance:
    - 1
    - autoguidance: {weight: 2, model: {network: {mlp: {width: 4, depth: 1}}}}
  nfe: [4]
  samples: 100
  metrics: [sliced_wasserstein, validation_loss]
"""


class Remote(HereExecutor):
    """Takes a fleet and its evaluations as one task."""

    chains = True


def computed(folder: Path, executor: type[HereExecutor]) -> tuple[Session, list[Task], dict[str, int]]:
    """Run the suite on an executor; return the session, what was submitted and what was computed."""
    folder.mkdir()
    (folder / "chained.yaml").write_text(SUITE)
    session = open_session(folder / "chained.yaml", Options(home=folder / "home", device="cpu"))
    submitted: list[Task] = []

    class Noting(executor):  # type: ignore[misc, valid-type]
        def submit(self, task: Task) -> None:
            submitted.append(task)
            super().submit(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fmbench.executors.local.LocalExecutor", Noting)
        counts = Scheduler(session, session.results_index(), Silent(), None).run()
    return session, submitted, counts


def scores(session: Session) -> list[dict[str, object]]:
    """Return what was computed of each cell, without its times."""
    rows = session.records(session.results_index()).frame().to_dict("records")
    return [{name: row[name] for name in ("key", "sliced_wasserstein", "validation_loss")} for row in rows]


def test_the_same_is_computed_and_what_waits_for_a_weaker_model_follows(tmp_path: Path) -> None:
    apart, _, first = computed(tmp_path / "apart", HereExecutor)
    together, submitted, second = computed(tmp_path / "together", Remote)
    assert first == second == {"training": 4, "evaluation": 4, "floor": 2, "oracle": 2}
    assert repr(scores(apart)) == repr(scores(together))
    chains = [task for task in submitted if isinstance(task, TrainAndEvaluateTask)]
    assert [len(chain.training.cells) for chain in chains] == [1] * 4
    after = [task for task in submitted if isinstance(task, EvaluateTask)]
    assert [work.cell.weaker is not None for task in after for work in task.work] == [True, True]
    assert all(not task.training_metrics for task in after)


def test_a_cell_that_is_trained_twice_over_has_its_metrics_measured_after_that(registry: Registry) -> None:
    """The training and its own metrics are one unit, which ends twice."""
    cells = [training_cell(registry, seed) for seed in range(2)]
    metric = registry.spec("metric", "validation_loss")
    pieces = [Work(each.key, each, ()) for each in (evaluation_cell(registry, cell) for cell in cells)]
    evaluations = tuple(EvaluateTask(c, (metric,), (piece,)) for c, piece in zip(cells, pieces, strict=True))
    task = TrainAndEvaluateTask(TrainTask(tuple(cells)), evaluations)
    once = task.without(Counter(task.training.units))
    assert not once.training.cells
    assert once.evaluations == evaluations
    measured = ("training", cells[0].key)
    twice = task.without(Counter([*task.training.units, measured]))
    assert [each.training_metrics for each in twice.evaluations] == [(), (metric,)]
    assert once.without(Counter([measured])) == twice
    alone = task.without(Counter([measured])).one_by_one()
    assert [len(each.training.cells) for each in alone] == [1, 0]
    assert not task.without(Counter(task.units)).units

"""Fleets evaluated as one: the same samples as one by one, members that fail alone, solvers that will not have it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import context, evaluation_cell, training_cell

from fmbench.cells.cells import EvaluationCell
from fmbench.evaluation.batched_sampling import NotBatchedError, draw_batched, in_order
from fmbench.evaluation.sampling import draw_samples
from fmbench.executors import evaluate_fleet, run_task
from fmbench.executors.jobs import sampled_together
from fmbench.executors.messages import Event
from fmbench.executors.tasks import EvaluateFleetTask, EvaluateTask, Work
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import Trained, load_trained
from fmbench.plugins.registry import Registry
from fmbench.training.loop import train

KINDS = [
    (0, {}),
    (0, {"path": "cosine", "objective": "x1_prediction"}),
    (1, {"path": "cosine"}),
    (1, {"objective": "pseudo_huber"}),
]


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    shop = context(tmp_path_factory.mktemp("together"), registry)
    train([training_cell(registry, seed, {"steps": 10}, **names) for seed, names in KINDS[:1]], shop)
    for seed, names in KINDS[1:]:
        train([training_cell(registry, seed, {"steps": 10}, **names)], shop)
    return shop


@pytest.fixture
def members(registry: Registry, shop: WorkerContext) -> list[Trained]:
    cells = [training_cell(registry, seed, {"steps": 10}, **names) for seed, names in KINDS]
    return in_order([load_trained(cell, shop) for cell in cells])


def evaluations(
    registry: Registry, members: list[Trained], solver: str, nfe: int = 4, samples: int = 300
) -> list[EvaluationCell]:
    cells = [evaluation_cell(registry, member.cell, solver, nfe, samples) for member in members]
    if registry.attribute(cells[0].solver, "adaptive"):
        return [replace(cell, grid=None, nfe=None, steps=None) for cell in cells]
    return cells


@pytest.mark.parametrize("solver", ["euler", "heun", "rk4", "ab2"])
def test_samples_are_those_of_each_member_alone(
    registry: Registry, members: list[Trained], solver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Trained.source
    monkeypatch.setattr(Trained, "source", lambda self, *asked: source(self, *asked).double())
    for member in members:
        member.module.double()
    cells = evaluations(registry, members, solver)
    together = draw_batched(members, cells[0])
    with torch.no_grad():
        alone = [draw_samples(m, cell, m.velocity()) for m, cell in zip(members, cells, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert one.samples.dtype == torch.float64
        torch.testing.assert_close(one.samples, other.samples, rtol=0, atol=1e-10)
        assert (one.calls, one.sizes, one.nfe) == (other.calls, other.sizes, 4)
    assert not torch.allclose(together[0].samples, together[1].samples, atol=1e-3)


def test_labels_and_guidance_are_each_members_own(registry: Registry, tmp_path: Path) -> None:
    shop = context(tmp_path, registry)
    settings = {"class_conditional": True, "steps": 10}
    cells = [training_cell(registry, seed, settings) for seed in (0, 1)]
    for cell in cells:
        train([cell], shop)
    members = [load_trained(cell, shop) for cell in cells]
    guided = [replace(cell, guidance=2.0) for cell in evaluations(registry, members, "euler")]
    with torch.no_grad():
        alone = [draw_samples(m, cell, m.velocity(2.0)) for m, cell in zip(members, guided, strict=True)]
    for one, other in zip(draw_batched(members, guided[0]), alone, strict=True):
        torch.testing.assert_close(one.samples, other.samples, rtol=1e-4, atol=1e-5)
        assert one.labels is not None
        assert other.labels is not None
        assert torch.equal(one.labels, other.labels)
        assert one.nfe == other.nfe == 8


@pytest.mark.parametrize("solver", ["dopri5", "stochastic_euler", "dpmpp_2m"])
def test_solvers_that_want_what_members_do_not_share_are_refused(
    registry: Registry, members: list[Trained], solver: str
) -> None:
    with pytest.raises(NotBatchedError):
        draw_batched(members, evaluations(registry, members, solver)[0])


@pytest.mark.parametrize("together", [True, False])
def test_a_fleet_is_evaluated_and_the_member_that_diverges_fails_alone(
    registry: Registry, members: list[Trained], shop: WorkerContext, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    drawn: list[str] = []
    obstacle = "" if together else "it computes something else"
    monkeypatch.setattr(evaluate_fleet, "batching_obstacle", lambda cells, of: obstacle)
    monkeypatch.setattr(
        evaluate_fleet, "draw_batched", lambda of, cell: drawn.append(cell.key) or draw_batched(of, cell)
    )
    broken = members[1].cell.key

    def load(cell, of):  # type: ignore[no-untyped-def]
        trained = load_trained(cell, of)
        if cell.key == broken:
            trained.saved = {name: torch.full_like(value, float("nan")) for name, value in trained.saved.items()}
            trained.module.load_state_dict({n.removeprefix("ema."): v for n, v in trained.saved.items() if "ema." in n})
        return trained

    monkeypatch.setattr(run_task, "load_trained", load)
    monkeypatch.setattr(evaluate_fleet, "load_trained", load)
    metric = registry.spec("metric", "sliced_wasserstein")
    tasks = []
    for i, member in enumerate(members):
        # A number of samples of its own, so that each case has cells that are not yet done.
        cells = [evaluations(registry, members, solver, 4, 310 + together)[i] for solver in ("euler", "heun", "dopri5")]
        tasks.append(EvaluateTask(member.cell, (), tuple(Work(cell.key, cell, (metric,)) for cell in cells)))
    events: list[Event] = []
    run_task.Computer(shop, events.append)(EvaluateFleetTask(tuple(tasks)))
    assert len(drawn) == (3 if together else 0)
    ended = {event.key: event for event in events if event.what in ("finished", "failed")}
    for task in tasks:
        for work in task.work:
            assert ended[work.key].what == ("failed" if task.training.key == broken else "finished")
    assert {event.status for event in events if event.what == "failed"} == {"diverged"}
    finished = shop.store.folder("evaluation", tasks[0].work[0].key)
    assert finished.metrics()[metric.digest]["values"]["sliced_wasserstein"] > 0
    assert finished.result()["facts"]["nfe"] == 4  # type: ignore[index]


def test_cells_are_sampled_as_one_on_a_gpu_alone() -> None:
    assert [sampled_together(device, 4) for device in ("cpu", "cuda", "cuda:1")] == [False, True, True]
    assert not sampled_together("cuda", 3)


def test_a_task_without_what_has_ended(registry: Registry, members: list[Trained], shop: WorkerContext) -> None:
    cells = evaluations(registry, members, "euler")
    tasks = [EvaluateTask(m.cell, (), (Work(c.key, c, ()),)) for m, c in zip(members, cells, strict=True)]
    task = EvaluateFleetTask(tuple(tasks))
    assert [key for _, key in task.units] == [cell.key for cell in cells]
    left = task.without({("evaluation", cells[0].key)})
    assert left.tasks == tuple(tasks[1:])

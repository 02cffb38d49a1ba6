"""Fleets: a cell trained in one is the cell trained alone, whatever its neighbours are and do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import built_ins, context, evaluation_cell, training_cell
from safetensors.torch import load_file
from torch import Tensor, nn

from fmbench.cells.cells import TrainingCell
from fmbench.components.contracts import Coupling, Network
from fmbench.errors import CellFailure, Diverged
from fmbench.executors.messages import Event, WorkerConfig
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateFleetTask, EvaluateTask, ProbeTask, TrainTask, Work
from fmbench.model.batched.compatibility import batching_obstacle
from fmbench.model.context import WorkerContext
from fmbench.plan.fleet_composition import WORTH_A_FLEET, compose
from fmbench.plugins.registry import Registry
from fmbench.runner.fleets import Fleets, fleet_size_file
from fmbench.runtime.environment import cpu_count
from fmbench.store.atomic_files import read_sealed, write_sealed
from fmbench.store.store import Store
from fmbench.training.loop import begin, run_steps, train

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "adamw", "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01},
    {"name": "adam", "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    {"name": "adamax", "lr": 2e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0},
    {"name": "sgd", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.0},
]
DIVERGING = {"name": "sgd", "lr": 0.1, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def varied(registry: Registry, settings: dict[str, Any] | None = None, **names: Any) -> list[TrainingCell]:
    """Return cells that differ in everything that members of a fleet may differ in."""
    variants: list[dict[str, Any]] = [
        {},
        {"path": "cosine"},
        {"path": "cosine", "t_distribution": "u_shaped"},
        {"path": "icfm", "objective": "pseudo_huber"},
        {"path": "icfm"},
        {"coupling": ("minibatch_ot", {"pool": 2})},
        {"objective": "x1_prediction"},
    ]
    return [training_cell(registry, seed, settings, **{**names, **v}) for v in variants for seed in (0, 1)]


def histories(cells: list[TrainingCell], shop: WorkerContext) -> list[list[list[float]]]:
    return [json.loads(shop.store.folder("training", cell.key).read("history.json")) for cell in cells]


def weights(cell: TrainingCell, shop: WorkerContext) -> dict[str, Tensor]:
    return load_file(shop.store.folder("training", cell.key).path / "weights.safetensors")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda settings: settings["name"])
def test_cells_agree_step_by_step_alone_and_in_a_fleet(
    tmp_path: Path, registry: Registry, optimizer: dict[str, Any]
) -> None:
    schedule = {"name": "cosine", "warmup": 5, "final": 0.1}
    settings = {"steps": 30, "gradient_clip": 0.5, "optimizer": optimizer, "schedule": schedule, "batch_size": 50}
    cells = varied(registry, settings)
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    keys = [cell.key for cell in cells]
    train(cells, together)
    for cell in cells:
        train([cell], alone)
        facts = [(shop.store.folder("training", cell.key).result() or {})["facts"] for shop in (together, alone)]
        assert [each["fleet"] for each in facts] == [len(cells), 1]
        assert facts[0]["parameters"] == facts[1]["parameters"]
        torch.testing.assert_close(weights(cell, together), weights(cell, alone), rtol=1e-5, atol=1e-9)
    assert keys == [cell.key for cell in cells]
    for mine, theirs in zip(histories(cells, together), histories(cells, alone), strict=True):
        assert [step for step, _ in mine] == list(range(1, 31))
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs), rtol=1e-5, atol=0)


@pytest.mark.usefixtures("double")
def test_labels_and_their_dropout_agree_too(tmp_path: Path, registry: Registry) -> None:
    settings = {"steps": 12, "class_conditional": True, "label_dropout": 0.3}
    cells = [
        training_cell(registry, seed, settings, dataset="digits", path=path)
        for seed in (0, 1)
        for path in ("linear", "cosine")
    ]
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    train(cells, together)
    for cell in cells:
        train([cell], alone)
    torch.testing.assert_close(histories(cells, together), histories(cells, alone), rtol=1e-5, atol=0)


def test_in_single_precision_short_trainings_end_alike(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": 150}, path="cosine") for seed in range(6)]
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    train(cells, together)
    for cell in cells:
        train([cell], alone)
    last = [torch.tensor([h[-1][1] for h in histories(cells, shop)]) for shop in (together, alone)]
    torch.testing.assert_close(*last, rtol=1e-2, atol=0)
    torch.testing.assert_close(last[0].mean(), last[1].mean(), rtol=3e-3, atol=0)


def test_what_members_see_is_what_they_would_see_alone(tmp_path: Path, registry: Registry) -> None:
    cells = varied(registry)
    shop = context(tmp_path, registry)
    state = begin(cells, shop)
    alone = [begin([cell], shop).path_batches for cell in state.cells]
    for step in range(5):
        joint_batches = state.path_batches.draw(step)
        samples = [samples.draw(step)[0].sample for samples in alone]
        for field in ("x_0", "x_1", "t"):
            joint = torch.cat([getattr(joint_batch.sample, field) for joint_batch in joint_batches])
            assert torch.equal(joint, torch.cat([getattr(sample, field) for sample in samples]))
        joint = torch.cat([joint_batch.sample.x_t for joint_batch in joint_batches])
        torch.testing.assert_close(joint, torch.cat([sample.x_t for sample in samples]))


def test_a_member_that_diverges_drops_out_and_the_rest_stay_as_they_are(tmp_path: Path, registry: Registry) -> None:
    settings = {"optimizer": DIVERGING, "steps": 40}
    good = [training_cell(registry, seed, settings) for seed in (0, 1)]
    bad = training_cell(registry, 0, settings, objective=("displacement_over_t", {"clip": 1e-5}))
    together, alone = (context(tmp_path / name, registry) for name in ("together", "alone"))
    lost: dict[str, Diverged] = {}
    train([*good, bad], together, failed=lambda cell, failure: lost.update({cell.key: failure}))
    assert list(lost) == [bad.key]
    with pytest.raises(Diverged, match="step") as failure:
        train([bad], alone)
    assert str(failure.value).rpartition(" ")[2] == str(lost[bad.key]).rpartition(" ")[2]  # at the same step
    assert together.store.folder("training", bad.key).result() is None
    for cell in good:
        train([cell], alone)
        torch.testing.assert_close(weights(cell, together), weights(cell, alone))


class Killed(Exception):
    """Stands in for kill -9: nothing after it runs."""


@pytest.mark.parametrize("optimizer", OPTIMIZERS[::3], ids=lambda settings: settings["name"])
def test_a_killed_fleet_goes_on_as_a_fleet_and_alone(
    tmp_path: Path, registry: Registry, optimizer: dict[str, Any]
) -> None:
    cells = varied(registry, {"steps": 12, "optimizer": optimizer})
    whole = context(tmp_path / "whole", registry)
    train(cells, whole)
    shop = context(tmp_path / "killed", registry, checkpoint_seconds=0.0)
    state = begin(cells, shop)

    def save_then_die(cell: TrainingCell, step: int, payload: bytes) -> None:
        shop.store.folder("training", cell.key).checkpoints.save(step, payload)
        if step == 7 and cell == state.cells[-1]:
            raise Killed

    with pytest.raises(Killed):
        run_steps(state, shop, save_then_die, lambda steps: None)
    alone = cells[3:5]
    others = [cell for cell in cells if cell not in alone]
    seen: list[int] = []
    train(others, context(tmp_path / "killed", registry), seen.append)
    assert seen[0] == 7 * len(others)
    assert sum(seen) == 12 * len(others)
    for cell in alone:
        train([cell], context(tmp_path / "killed", registry))
    for cell in cells:
        torch.testing.assert_close(weights(cell, shop), weights(cell, whole), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(histories(cells, shop), histories(cells, whole), rtol=1e-4, atol=0)


class Odd(Network):
    """Builds a small network that does something which a fleet cannot do."""

    def __init__(self, how: str) -> None:
        self.how = how

    def build(self, shape: tuple[int, ...], classes: int) -> nn.Module:
        return OddModule(shape[0], self.how)


class OddModule(nn.Module):
    def __init__(self, size: int, how: str) -> None:
        super().__init__()
        self.how = how
        self.linear = nn.Linear(size, size)
        self.tied = self.linear if how == "ties" else None
        self.norm = nn.BatchNorm1d(size) if how == "norm" else None
        self.frequencies = torch.randn(size) if how == "frequencies" else torch.ones(size)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        if self.how == "counts":
            self.calls = self.calls + 1
        if self.how == "noise":
            x = x + torch.randn(2)
        if self.how == "dropout":
            x = nn.functional.dropout(x, 0.5)
        x = x * self.frequencies if self.norm is None else self.norm(x)
        result: Tensor = self.linear(x) + float(x.sum() > 0) if self.how == "branches" else self.linear(x)
        return result


@pytest.mark.parametrize("how", ["", "counts", "noise", "dropout", "norm", "branches", "ties", "frequencies"])
def test_networks_that_cannot_join_a_fleet_are_found_out(tmp_path: Path, registry: Registry, how: str) -> None:
    shop = context(tmp_path, registry)
    alike, other = [training_cell(registry, 0, path=path) for path in ("linear", "cosine")], training_cell(registry, 1)
    shop._built[other.network.digest] = Odd(how)
    for cells in ([*alike, other], alike, [other]):
        assert bool(batching_obstacle(cells, shop)) == bool(how)


class Shuffling(Coupling):
    """Pairs at random, by torch's global generator instead of its own."""

    def pair(
        self, x_0: Tensor, x_1: Tensor, y: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        return x_0[torch.randperm(len(x_0))], x_1, y


def test_a_coupling_that_draws_from_the_global_generator_cannot_join_a_fleet(
    tmp_path: Path, registry: Registry
) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed) for seed in (0, 1)]
    assert not batching_obstacle(cells, shop)
    shop._built[cells[1].coupling.digest] = Shuffling()
    assert "global generator" in batching_obstacle(cells, shop)


@pytest.mark.parametrize("name", built_ins().names("coupling"))
def test_cells_of_every_coupling_may_join_a_fleet(tmp_path: Path, registry: Registry, name: str) -> None:
    cells = [training_cell(registry, seed, coupling=name, dataset="digits") for seed in (0, 1)]
    assert not batching_obstacle(cells, context(tmp_path, registry))


def test_cells_that_cannot_join_train_one_by_one(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed, {"steps": 3}) for seed in (0, 1)]
    shop._built[cells[0].network.digest] = Odd("dropout")
    train(cells, shop)
    for cell in cells:
        assert (shop.store.folder("training", cell.key).result() or {})["facts"]["fleet"] == 1


def test_a_fleet_with_a_member_that_raises_fails_that_member_alone(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed, {"steps": 5}) for seed in (0, 1)]
    bad = training_cell(registry, 0, {"steps": 5}, objective="pseudo_huber")
    monkeypatch.setattr(type(shop.build(bad.objective)), "loss", lambda *_: 1 / 0)
    said: list[Event] = []
    Computer(shop, said.append)(TrainTask((*cells, bad)))
    ended = {event.key: event.what for event in said if event.what in {"finished", "failed"}}
    assert ended == {cells[0].key: "finished", cells[1].key: "finished", bad.key: "failed"}
    assert (shop.store.folder("training", bad.key).failure() or {})["status"] == "error"


def test_the_probe_leaves_a_size_that_the_plan_of_fleets_takes(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(10)]
    fleets = fleets_of(shop.store.root, cells)
    (task,) = fleets.probes()
    said: list[Event] = []
    Computer(shop, said.append)(task)
    assert [event.what for event in said] == ["started", "finished"]
    found = read_sealed(Path(task.file))
    assert found is not None
    assert found["size"] > 10  # a tiny network: what a step costs beside its arithmetic is nearly all
    assert not list(fleets.probes())
    assert sum(len(task.cells) for task in fleets.ready()) == 10
    assert not list(fleets.ready())


def fleets_of(store: Path, cells: list[TrainingCell], *, jobs: int = 1, **state: Any) -> Fleets:
    """Return the fleets of a plan's cells, as a driver makes them."""
    return Fleets(store, WorkerConfig((), "", str(store), "cpu", 1, jobs), cells, **state)


def with_size(store: Path, cell: TrainingCell, size: int) -> None:
    """Leave in a store that cells like this one should train in fleets of a size."""
    write_sealed(fleet_size_file(store, cell, WorkerConfig((), "", str(store), "cpu", 1, 1)), {"size": size})


@pytest.mark.parametrize("left", [{}, {"size": 0}, {"size": "4"}, {"seconds": {}}])
def test_what_another_version_left_of_a_probe_is_found_again(
    tmp_path: Path, registry: Registry, left: dict[str, Any]
) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(3)]
    config = WorkerConfig((), "", str(tmp_path), "cpu", 1, 1)
    write_sealed(fleet_size_file(tmp_path, cells[0], config), left)
    fleets = Fleets(tmp_path, config, cells)
    assert len(list(fleets.probes())) == 1
    assert [len(task.cells) for task in fleets.ready()] == [1, 1, 1]
    assert not (tmp_path / "fleets").exists(), "what is not known is not noted"


def test_little_work_is_not_probed(tmp_path: Path, registry: Registry) -> None:
    fleets = fleets_of(tmp_path, [training_cell(registry, seed, {"steps": 3}) for seed in range(3)])
    assert not list(fleets.probes())
    assert [len(task.cells) for task in fleets.ready()] == [1, 1, 1]
    assert not (tmp_path / "fleets").exists()


def test_every_cell_is_in_one_fleet_and_no_process_is_idle(registry: Registry) -> None:
    cells = varied(registry)
    for size in (1, 2, 5, 100):
        for processes in (1, 2, 3):
            fleets = compose(cells, size, processes)
            assert sorted(cell.key for fleet in fleets for cell in fleet) == sorted(cell.key for cell in cells)
            assert len(fleets) >= processes
            assert max(map(len, fleets)) <= size
            assert max(map(len, fleets)) - min(map(len, fleets)) <= 1
            assert set(compose(list(reversed(cells)), size, processes)) == set(fleets)


def test_cells_that_go_on_from_shorter_trainings_have_fleets_of_their_own(registry: Registry) -> None:
    cells = [training_cell(registry, seed) for seed in range(6)]
    fleets = compose(cells, 4, 1, {cells[1].key: 20, cells[4].key: 20})
    assert [{cell.seed for cell in fleet} for fleet in fleets] == [{0, 2, 3, 5}, {1, 4}]


def keys_of(tasks: Iterable[TrainTask]) -> list[list[str]]:
    return [[cell.key for cell in task.cells] for task in tasks]


def test_fleets_stay_as_they_were_composed_whatever_is_left_and_whoever_goes_on(
    tmp_path: Path, registry: Registry
) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(8)]
    with_size(tmp_path, cells[0], 4)
    first = keys_of(fleets_of(tmp_path, cells).ready())
    assert sorted(map(len, first)) == sorted(map(len, keys_of(fleets_of(tmp_path, cells, jobs=7).ready())))
    ended = {key for fleet in first[:1] for key in fleet}
    left = {cell.key for cell in cells} - ended
    with_size(tmp_path, cells[0], 2)  # of another machine, or another version
    assert keys_of(fleets_of(tmp_path, cells, untrained=left).ready()) == first[1:]
    assert keys_of(fleets_of(tmp_path / "fresh", cells).ready()) == [[cell.key] for cell in cells]


def test_cells_that_are_trained_already_are_in_no_fleet_that_is_composed(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(6)]
    with_size(tmp_path, cells[0], 8)
    left = {cell.key for cell in cells[2:]}
    assert {key for keys in keys_of(fleets_of(tmp_path, cells, untrained=left).ready()) for key in keys} == left
    again = fleets_of(tmp_path, cells, untrained={cells[0].key})  # its weights were lost, say
    assert keys_of(again.ready()) == [[cells[0].key]]


def test_what_is_left_of_a_fleet_that_has_ended_is_as_large_as_that(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(3 * cpu_count())]
    with_size(tmp_path, cells[0], 3)
    whole = list(fleets_of(tmp_path, cells).ready())
    assert {task.size for task in whole} == {3}
    lost = whole[0].cells[:2]
    (task,) = fleets_of(tmp_path, cells, untrained={cell.key for cell in lost}).ready()
    assert task == TrainTask(lost, 2)


def test_a_member_that_diverged_is_beside_the_others_when_they_go_on(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(3 * cpu_count())]
    with_size(tmp_path, cells[0], 3)
    fleet = next(fleets_of(tmp_path, cells).ready()).cells
    left, failed = {cell.key for cell in fleet[1:]}, {fleet[0].key: "diverged"}
    (task,) = fleets_of(tmp_path, cells, untrained=left, failed=failed).ready()
    assert task == TrainTask(fleet[1:], 3, fleet[:1])


def test_a_fleet_that_failed_as_a_whole_is_none_after_a_restart(tmp_path: Path, registry: Registry) -> None:
    cells = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(3 * cpu_count())]
    with_size(tmp_path, cells[0], 3)
    fleet = next(fleets_of(tmp_path, cells).ready()).cells
    Store(tmp_path).folder("training", fleet[1].key).leave_fleet()
    tasks = list(fleets_of(tmp_path, cells, untrained={cell.key for cell in fleet}).ready())
    assert tasks == [TrainTask((cell,)) for cell in fleet]


def test_students_wait_for_the_teachers_of_all_their_fleet(tmp_path: Path, registry: Registry) -> None:
    teachers = [training_cell(registry, seed, {"steps": WORTH_A_FLEET}) for seed in range(2 * cpu_count())]
    settings = dict(teachers[0].settings.values)
    students = []
    for teacher in teachers:
        student = training_cell(registry, teacher.seed, settings, coupling="reflow")
        students.append(type(student)(**{**vars_of(student), "teacher": teacher}))
    for cell in (teachers[0], students[0]):
        with_size(tmp_path, cell, 2)
    fleets = fleets_of(tmp_path, [*teachers, *students])
    assert {cell for task in fleets.ready() for cell in task.cells} == set(teachers)
    fleets.ended(teachers[0].key)
    assert not list(fleets.ready())
    fleets.ended(teachers[1].key)
    assert [set(task.cells) for task in fleets.ready()] == [set(students[:2])]


def vars_of(cell: TrainingCell) -> dict[str, Any]:
    """Return a cell's fields."""
    return {name: getattr(cell, name) for name in cell.__dataclass_fields__}


def test_a_probe_that_fails_leaves_no_row(tmp_path: Path, registry: Registry) -> None:
    shop = context(tmp_path, registry)
    cell = training_cell(registry)
    shop._built[cell.network.digest] = object()
    said: list[Event] = []
    Computer(shop, said.append)(ProbeTask(cell, str(tmp_path / "file.json")))
    assert [event.what for event in said] == ["started", "failed"]
    assert not Store(shop.store.root).keys("training")


def test_a_fleet_that_is_evaluated_is_said_to_be_at_work_as_a_whole(tmp_path: Path, registry: Registry) -> None:
    cells = [evaluation_cell(registry, training_cell(registry, seed)) for seed in range(3)]
    tasks = tuple(EvaluateTask(cell.training, (), (Work(cell.key, cell, ()),)) for cell in cells)
    fleet = EvaluateFleetTask(tasks)
    said: list[Event] = []
    with suppress(CellFailure):
        Computer(context(tmp_path, registry), said.append)(fleet)
    assert said[0].what == "started"
    assert set(said[0].fleet) == {cell.key for cell in cells}

"""Portraits: fine trajectories, the velocity field and the data's density of cells on points, made once and kept."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from helpers import context, training_cell
from here_executor import HereExecutor
from safetensors.numpy import load_file

import fmbench
from fmbench.cells.cells import TrainingCell
from fmbench.evaluation.flow_snapshots import PARTICLES, STEPS, take_flow_snapshot
from fmbench.executors.messages import Event
from fmbench.executors.run_task import Computer
from fmbench.executors.tasks import EvaluateTask
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.plugins.registry import Registry
from fmbench.report.figures.plane.snapshots import load_flow_snapshot
from fmbench.runner.session import Options
from fmbench.training.loop import train

TINY = ("mlp", {"width": 8, "depth": 1})
POINTS = {"size": 400}


@pytest.fixture(scope="module")
def shop(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("portraits"), registry)


def trained_cell(
    registry: Registry,
    shop: WorkerContext,
    dataset: str = "moons",
    settings: dict[str, Any] | None = None,
    **names: Any,
) -> TrainingCell:
    given = {"steps": 20, **(settings or {})}
    cell = training_cell(registry, dataset=(dataset, POINTS), network=TINY, settings=given, **names)
    train([cell], shop)
    return cell


def portrait_of(cell: TrainingCell, shop: WorkerContext) -> dict[str, np.ndarray]:
    take_flow_snapshot(load_trained(cell, shop), shop.store.folder("portrait", cell.key))
    return load_file(shop.store.folder("portrait", cell.key).path / "portrait.safetensors")


@pytest.fixture(scope="module")
def moons(registry: Registry, shop: WorkerContext) -> TrainingCell:
    return trained_cell(registry, shop)


@pytest.fixture(scope="module")
def flow_snapshot(moons: TrainingCell, shop: WorkerContext) -> dict[str, np.ndarray]:
    return portrait_of(moons, shop)


def test_trajectories_go_from_the_evaluation_noise_to_what_a_fine_solver_gives(
    moons: TrainingCell, shop: WorkerContext, flow_snapshot: dict[str, np.ndarray]
) -> None:
    trained = load_trained(moons, shop)
    x_0 = trained.source(0, PARTICLES)
    assert np.array_equal(flow_snapshot["paths"][0], x_0.numpy())
    solver = shop.build(shop.registry.spec("solver", "midpoint"))
    with torch.no_grad():
        x_1 = solver.integrate(trained.velocity(), x_0, torch.linspace(0, 1, STEPS + 1))
    assert flow_snapshot["paths"][-1] == pytest.approx(x_1.numpy(), abs=1e-4)
    assert flow_snapshot["times"][0] == 0
    assert flow_snapshot["times"][-1] == 1
    assert len(flow_snapshot["times"]) == len(flow_snapshot["paths"])


def test_the_field_is_the_velocity_at_the_points_of_its_grid(
    moons: TrainingCell, shop: WorkerContext, flow_snapshot: dict[str, np.ndarray]
) -> None:
    velocity = load_trained(moons, shop).velocity()
    for k, j, i in ((0, 0, -1), (5, 2, 3), (-1, -1, 0)):
        point = torch.tensor([[flow_snapshot["x"][i], flow_snapshot["y"][j]]])
        with torch.no_grad():
            found = velocity(point, torch.tensor([flow_snapshot["field_times"][k]]))
        assert flow_snapshot["field"][k, j, i] == pytest.approx(found[0].numpy(), abs=1e-5)


def test_the_grid_holds_source_and_data(
    flow_snapshot: dict[str, np.ndarray], moons: TrainingCell, shop: WorkerContext
) -> None:
    data, _ = shop.data(moons.dataset, "test")
    low, high = (np.array([flow_snapshot["x"][end], flow_snapshot["y"][end]]) for end in (0, -1))
    for points in (flow_snapshot["paths"][0], data.numpy()):
        assert np.mean(((points > low) & (points < high)).all(axis=1)) > 0.97


def test_the_exact_density_is_there_where_the_data_know_it(
    registry: Registry, shop: WorkerContext, flow_snapshot: dict[str, np.ndarray]
) -> None:
    assert "log_density" not in flow_snapshot
    known = portrait_of(trained_cell(registry, shop, "gaussian_mixture"), shop)
    x, y = known["density_x"], known["density_y"]
    mass = np.exp(known["log_density"]).sum() * (x[1] - x[0]) * (y[1] - y[0])
    assert mass == pytest.approx(1, abs=0.02)


def test_a_field_without_a_label_needs_a_training_without_labels(registry: Registry, shop: WorkerContext) -> None:
    conditional = {"class_conditional": True, "label_dropout": 0.2}
    cell = trained_cell(registry, shop, "eight_gaussians", conditional)
    assert {"paths", "field"} <= set(portrait_of(cell, shop))
    never = trained_cell(registry, shop, "eight_gaussians", {**conditional, "label_dropout": 0.0})
    found = portrait_of(never, shop)
    assert "paths" in found
    assert "field" not in found


def test_data_of_another_shape_have_no_portrait_and_that_is_kept(registry: Registry, shop: WorkerContext) -> None:
    cell = trained_cell(registry, shop, path="cosine")
    trained = load_trained(cell, shop)
    trained.parts.dataset = SimpleNamespace(shape=(3,))  # type: ignore[assignment]
    take_flow_snapshot(trained, shop.store.folder("portrait", cell.key))
    assert shop.store.folder("portrait", cell.key).result() == {"files": {}}


def events_of(shop: WorkerContext, cell: TrainingCell) -> list[Event]:
    events: list[Event] = []
    Computer(shop, events.append)(EvaluateTask(cell, (), (), flow_snapshot=cell.key))
    assert {event.section for event in events} == {"portrait"}
    return events


def test_a_worker_makes_a_portrait_once_and_a_damaged_one_again(registry: Registry, shop: WorkerContext) -> None:
    cell = trained_cell(registry, shop, "sine")
    file = shop.store.folder("portrait", cell.key).path / "portrait.safetensors"
    assert [event.what for event in events_of(shop, cell)] == ["started", "finished"]
    made, written = file.read_bytes(), file.stat().st_mtime_ns
    events_of(shop, cell)
    assert file.stat().st_mtime_ns == written
    file.write_bytes(made[:-1] + b"?")
    assert [event.what for event in events_of(shop, cell)] == ["started", "damaged", "finished"]
    assert file.read_bytes() == made


def test_a_portrait_that_fails_takes_nothing_with_it(
    registry: Registry, shop: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = trained_cell(registry, shop, "moons", objective="x1_prediction")

    def broken(*_: object) -> None:
        raise RuntimeError("no density here")

    monkeypatch.setattr(shop.build(cell.dataset), "log_density", broken, raising=False)
    failed = events_of(shop, cell)[-1]
    assert (failed.what, failed.status) == ("failed", "error")
    assert "no density here" in failed.text
    assert shop.store.folder("training", cell.key).failure() is None
    assert shop.store.folder("training", cell.key).result() is not None


def test_what_is_no_portrait_is_none(tmp_path: Path, moons: TrainingCell, shop: WorkerContext) -> None:
    take_flow_snapshot(load_trained(moons, shop), shop.store.folder("portrait", moons.key))
    whole = shop.store.folder("portrait", moons.key).path / "portrait.safetensors"
    assert load_flow_snapshot(whole) is not None
    other = shop.store.folder("training", moons.key).path / "weights.safetensors"
    (tmp_path / "broken").write_bytes(b"broken")
    for path in (None, tmp_path / "nowhere", tmp_path / "broken", other):
        assert load_flow_snapshot(path) is None


SUITE: dict[str, Any] = {
    "name": "portrayed",
    "datasets": [{"moons": POINTS}],
    "training": {
        "paths": ["linear"],
        "t_distributions": ["u_shaped"],
        "networks": [{"mlp": {"width": 8, "depth": 1}}],
        "seeds": [4, 5],
        "steps": 5,
        "batch_size": 16,
    },
    "evaluation": {"solvers": ["euler"], "nfe": [2], "samples": 64, "metrics": ["loss_by_t"]},
}


def test_a_run_portrays_the_first_seed_and_makes_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
    monkeypatch.setattr("fmbench.report.write_report", lambda *_, **__: tmp_path)
    suite = tmp_path / "portrayed.yaml"
    suite.write_text(yaml.safe_dump(SUITE))
    options = Options(home=tmp_path / "store", reports=tmp_path / "reports", tracking=False, jobs="1")
    first = fmbench.run(suite, options)
    paths = {record.cell.seed: record.flow_snapshot for record in first.records.trainings}
    assert paths[5] is None
    assert paths[4] is not None
    made = paths[4].read_bytes()
    assert len(list((tmp_path / "store" / "portrait").iterdir())) == 1
    assert set(first.records.t_densities) == {"u_shaped"}
    assert np.mean(first.records.t_densities["u_shaped"]) == pytest.approx(1, abs=0.01)
    over = {facts.name: facts.over for facts in first.records.metrics}
    assert over["loss_by_t"] == ""
    assert over["loss_by_t_0"] == "t"

    monkeypatch.setattr("fmbench.executors.local.LocalExecutor.submit", lambda *_: pytest.fail("nothing is lacking"))
    assert fmbench.run(suite, options).computed == {}
    monkeypatch.undo()

    monkeypatch.setattr("fmbench.executors.local.LocalExecutor", HereExecutor)
    monkeypatch.setattr("fmbench.report.write_report", lambda *_, **__: tmp_path)
    paths[4].unlink()
    mended = fmbench.run(suite, options)
    assert mended.computed == {}
    assert paths[4].read_bytes() == made

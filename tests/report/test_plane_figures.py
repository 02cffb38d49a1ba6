"""Figures that teach: the flow of points in the plane, the t-densities, metrics by t; and what odd records do."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from test_report import IDENTITY, Factory, moons, page

from fmbench.report import write_report
from fmbench.report.figures.plane.snapshots import Density, Field, FlowSnapshot, enclosing, smoothed
from fmbench.report.figures.t_densities import t_densities
from fmbench.results.records import MetricFacts, Records, TrainingRecord

SCORE = MetricFacts("sliced_wasserstein", "lower", "", "evaluation", "sliced_wasserstein")
LOSS = MetricFacts("loss_by_t", "lower", "", "training", "loss_by_t")
BINS = tuple(MetricFacts(f"loss_by_t_{i}", "", "", "training", "loss_by_t", over="t") for i in range(4))
ONE: dict[str, Any] = {
    "paths": ("linear", "cosine"),
    "t_distributions": Factory.t_distributions[:1],
    "solvers": ("euler",),
    "nfe": (2, 8),
    "seeds": (0,),
    "metrics": (),
}
FLOW = ("densities", "trajectories", "velocity")


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the figures that other tests are about."""
    monkeypatch.setattr("fmbench.report.figures.sample_grids.sample_figures", lambda *_: ([], ""))
    monkeypatch.setattr("fmbench.report.figures.loss_curves.losses", lambda *_: None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write empty SVG files and do not arrange panels, where a test asks only what there is."""
    monkeypatch.setattr("matplotlib.backends.backend_svg.FigureCanvasSVG.print_svg", lambda *_, **__: None)
    monkeypatch.setattr("matplotlib.layout_engine.ConstrainedLayoutEngine.execute", lambda *_: None)


def drawn_flow_snapshot(path: Path, **changes: Any) -> Path:
    """Write a flow snapshot of particles that walk straight from noise to moons; None leaves a tensor out."""
    x_0 = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    times, x, y = (np.linspace(*ends, dtype=np.float32) for ends in ((0, 1, 7), (-3, 3, 7), (-2, 2, 5)))
    paths = (1 - times[:, None, None]) * x_0 + times[:, None, None] * moons(60)
    field = np.broadcast_to(np.array([1.0, 0.5], dtype=np.float32), (3, 5, 7, 2)).copy()
    tensors = {"times": times, "paths": paths.astype(np.float32), "x": x, "y": y, "field": field}
    tensors |= {"field_times": np.linspace(0, 1, 3, dtype=np.float32)}
    tensors = {name: value for name, value in {**tensors, **changes}.items() if value is not None}
    save_file(tensors, path)
    return path


def portrayed(factory: Factory, flow_snapshot: Callable[[TrainingRecord], Path | None], **about: Any) -> Records:
    """Return the records of a factory, with flow snapshots."""
    records = factory.records(**about)
    trainings = [dataclasses.replace(record, flow_snapshot=flow_snapshot(record)) for record in records.trainings]
    return dataclasses.replace(records, trainings=trainings)


def report(factory: Factory, folder: Path, **changes: Any) -> Path:
    """Write the report of a factory whose cells all have the same flow snapshot."""
    flow_snapshot = drawn_flow_snapshot(folder / "portrait.safetensors", **changes)
    return write_report(portrayed(factory, lambda _: flow_snapshot), folder / "report", figures=True).parent


def points(folder: Path, **changes: Any) -> Factory:
    return Factory(folder, samples=moons, **(ONE | changes))


def test_points_have_densities_trajectories_a_field_and_motion(tmp_path: Path) -> None:
    folder = report(points(tmp_path), tmp_path)
    for name in FLOW:
        assert (folder / f"{name}.png").stat().st_size < 400_000
        assert (folder / f"{name}.svg").stat().st_size < 1_000_000
    found = (folder / "README.md").read_text()
    for words in ("digits: densities", "digits: trajectories", "digits: velocity field"):
        assert words in found
    with Image.open(folder / "flow.gif") as gif:
        assert gif.n_frames == 7  # type: ignore[attr-defined]
        assert gif.info["loop"] == 0
    assert (folder / "flow.gif").stat().st_size < 400_000


def test_a_large_animation_drops_frames_but_neither_the_first_nor_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    factory = points(tmp_path, paths=("linear",), nfe=(2,))
    whole = report(factory, tmp_path)
    with Image.open(whole / "flow.gif") as gif:
        ends = [gif.convert("RGB").tobytes()]
        gif.seek(6)
        ends.append(gif.convert("RGB").tobytes())
    monkeypatch.setattr("fmbench.report.figures.plane.animation.MOST_BYTES", (whole / "flow.gif").stat().st_size - 1)
    with Image.open(io.BytesIO((report(factory, tmp_path) / "flow.gif").read_bytes())) as gif:
        assert gif.n_frames == 4  # type: ignore[attr-defined]
        assert gif.convert("RGB").tobytes() == ends[0]
        gif.seek(3)
        assert gif.convert("RGB").tobytes() == ends[1]


def test_a_moving_report_is_the_same_bytes_again(tmp_path: Path) -> None:
    factory = points(tmp_path, paths=("linear",), nfe=(2,))
    first = {path.name: path.read_bytes() for path in report(factory, tmp_path).iterdir()}
    again = report(factory, tmp_path)
    assert first == {path.name: path.read_bytes() for path in again.iterdir()}


def test_the_animation_of_the_report_before_goes(tmp_path: Path, quick: None) -> None:
    factory = points(tmp_path, nfe=(2,))
    folder = report(factory, tmp_path)
    assert (folder / "flow.gif").is_file()
    write_report(factory.records(), folder, figures=True)
    assert not (folder / "flow.gif").exists()
    assert (folder / "densities.png").is_file()
    assert "No trajectories of 2 of 2 training combinations" in page(folder).text


ODD: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a field that is not finite": ({"field": np.full((3, 5, 7, 2), np.nan, dtype=np.float32)}, FLOW),
    "neither field nor finite paths": (
        {"field": None, "paths": np.full((7, 60, 2), np.nan, dtype=np.float32)},
        ("densities", "trajectories"),
    ),
    "nothing moves": ({"paths": np.zeros((7, 60, 2), dtype=np.float32)}, FLOW),
    "no times": ({"times": None}, ("densities",)),
    "an even density": (
        {
            "density_x": np.linspace(-2, 2, 9, dtype=np.float32),
            "density_y": np.linspace(-2, 2, 9, dtype=np.float32),
            "log_density": np.zeros((9, 9), dtype=np.float32),
        },
        FLOW,
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_portraits_give_the_figures_that_they_can(case: str, tmp_path: Path, quick: None) -> None:
    changes, figures = ODD[case]
    folder = report(points(tmp_path, paths=("linear",), nfe=(2,)), tmp_path, **changes)
    assert [name for name in FLOW if (folder / f"{name}.png").is_file()] == list(figures)
    assert (folder / "flow.gif").is_file() == ("velocity" in figures)


def test_samples_and_data_that_are_missing_leave_a_gap(tmp_path: Path, quick: None) -> None:
    flow_snapshot = drawn_flow_snapshot(tmp_path / "portrait.safetensors")
    failing = points(tmp_path, failed=lambda cell: "diverged" if cell.path.name == "cosine" else "ok")
    records = portrayed(failing, lambda record: flow_snapshot if record.status == "ok" else None)
    for record in records.evaluations[:1]:
        assert record.samples
        record.samples.unlink()
    folder = write_report(records, tmp_path / "a", figures=True).parent
    assert all((folder / f"{name}.png").is_file() for name in FLOW)
    assert "No trajectories of 1 of 2 training combinations" in page(folder).text
    without = write_report(dataclasses.replace(records, real={}, evaluations=[]), tmp_path / "b", figures=True).parent
    assert not (without / "densities.png").exists()
    assert (without / "trajectories.png").is_file()


def test_images_have_none_of_these_figures(tmp_path: Path, quick: None) -> None:
    grey = {"samples": lambda n: np.zeros((n, 1, 4, 4), dtype=np.float32), "paths": ("linear",), "nfe": (2,)}
    factory = Factory(tmp_path, **(ONE | grey))
    folder = write_report(factory.records(), tmp_path / "report", figures=True).parent
    assert not [name for name in FLOW if (folder / f"{name}.png").exists()]
    assert "flow snapshot" not in page(folder).text


def test_of_many_combinations_the_best_are_drawn_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr("fmbench.report.figures.plane.all_plane_figures.MOST_FIELDS", 1)
    folder = report(points(tmp_path, nfe=(2,), metrics=(SCORE,), change=scored), tmp_path)
    text = (folder / "README.md").read_text()
    assert text.count("Shown are the best 1 of 2 training combinations.") == 1


def scored(record: Any) -> Any:
    cell = record.cell.training
    value = 1.0 + len(str(cell.path))
    return dataclasses.replace(record, metrics={"sliced_wasserstein": value}, identities={})


def test_a_smoothed_density_and_its_lines_hold_the_mass_that_they_say() -> None:
    random = np.random.default_rng(0)
    cloud, x = random.normal(size=(4000, 2)), np.linspace(-6, 6, 121)
    density = smoothed(cloud, x, x, 0.3)
    cell = (x[1] - x[0]) ** 2
    assert density.sum() * cell == pytest.approx(1, abs=1e-3)
    low, high = enclosing(density, (0.5, 0.95))
    assert density[density >= high].sum() * cell == pytest.approx(0.5, abs=0.01)
    assert density[density >= low].sum() * cell == pytest.approx(0.95, abs=0.01)
    even = np.zeros((8, 8))
    even[:4] = 3.0
    assert enclosing(even, (0.5, 0.95)) == [1.5]
    assert enclosing(np.ones((4, 4)), (0.5,)) == []
    assert enclosing(np.zeros((4, 4)), (0.5,)) == []


def test_a_field_is_what_was_stored_at_its_times_and_between_them_in_between() -> None:
    vectors = np.stack([np.full((2, 2, 2), value) for value in (0.0, 4.0, math.inf)])
    field = Field(np.array([0.0, 0.5, 1.0]), np.arange(2.0), np.arange(2.0), vectors)
    assert (field.at(0.5) == 4.0).all()
    assert field.at(0.125) == pytest.approx(1.0)
    assert (field.at(1.0) == 0).all()
    still = FlowSnapshot(np.array([0.0, 1.0]), np.array([[[0.0, 0.0], [1.0, 1.0]], [[2.0, 2.0], [np.nan, 1.0]]]))
    assert still.points(0.9).tolist() == [[2.0, 2.0]]
    corner = Density(np.arange(3.0), np.arange(4.0), np.zeros((4, 3)), exact=True)
    assert (corner.low.tolist(), corner.high.tolist()) == ([0.0, 0.0], [2.0, 3.0])


def test_t_densities_are_drawn_once_for_the_suite(tmp_path: Path, quick: None) -> None:
    spiky = {"uniform": [1.0] * 100, "beta": [50.0, *[0.5] * 98, 50.0], "odd": [math.nan] * 100}
    factory = Factory(tmp_path, **(ONE | {"datasets": ("a", "b"), "nfe": (2,), "solvers": ()}))
    folder = write_report(factory.records(t_densities=spiky), tmp_path / "report", figures=True).parent
    text = (folder / "README.md").read_text()
    assert text.count("**where training looks") == 1
    assert "Cut at the top, where it goes on rising: beta." in text
    flat = write_report(factory.records(t_densities={"uniform": [1.0] * 100}), tmp_path / "report", figures=True).parent
    assert not (flat / "t_densities.png").exists()


def test_without_t_densities_nothing_is_drawn() -> None:
    for nothing in ({}, {"a": []}, {"a": [math.nan]}):
        assert t_densities(nothing, None, "t_densities") is None  # type: ignore[arg-type]


def by_t(record: TrainingRecord) -> TrainingRecord:
    """Give a training a loss by t, comparable within one path."""
    values = {facts.name: 1.0 + 0.1 * i + record.cell.seed for i, facts in enumerate((LOSS, *BINS))}
    known = {name: {"metric": "loss_by_t", "path": str(record.cell.path)} for name in values}
    return dataclasses.replace(record, metrics=values, identities=known)


def with_series(factory: Factory, change: Callable[[TrainingRecord], TrainingRecord]) -> Records:
    records = factory.records()
    trainings = [change(record) if record.status == "ok" else record for record in records.trainings]
    inherited = {record.cell.key: record for record in trainings}
    evaluations = [
        dataclasses.replace(record, metrics={**record.metrics, **inherited[record.cell.training.key].metrics})
        for record in records.evaluations
    ]
    return dataclasses.replace(records, trainings=trainings, evaluations=evaluations)


def test_a_metric_by_t_is_a_curve_and_its_parts_stand_in_no_table(tmp_path: Path, quick: None) -> None:
    factory = Factory(tmp_path, **(ONE | {"metrics": (LOSS, *BINS), "seeds": (0, 1)}))
    folder = write_report(with_series(factory, by_t), tmp_path / "report", figures=True).parent
    assert (folder / "loss_by_t.png").is_file()
    text = (folder / "table.md").read_text()
    assert "loss\\_by\\_t (path linear)" in text
    assert "loss\\_by\\_t\\_" not in text
    assert "loss_by_t_3" in (folder / "records.csv").read_text()
    found = (folder / "README.md").read_text()
    assert "loss\\_by\\_t in 4 equal parts of t" in found
    assert "Values of different panels are not comparable" in found


def test_a_metric_by_t_without_values_or_with_failed_trainings(tmp_path: Path, quick: None) -> None:
    factory = Factory(tmp_path, **(ONE | {"metrics": (LOSS, *BINS)}))
    folder = write_report(factory.records(), tmp_path / "report", figures=True).parent
    assert not (folder / "loss_by_t.png").exists()
    half = dataclasses.replace(factory, failed=lambda cell: "oom" if cell.path.name == "cosine" else "ok")
    folder = write_report(with_series(half, by_t), tmp_path / "report", figures=True).parent
    assert (folder / "loss_by_t.png").is_file()


def test_values_by_t_that_cannot_be_compared_are_not_drawn(tmp_path: Path, quick: None) -> None:
    def mixed(record: TrainingRecord) -> TrainingRecord:
        return dataclasses.replace(
            by_t(record), identities={LOSS.name: IDENTITY, BINS[0].name: {"draws": record.cell.seed}}
        )

    factory = Factory(tmp_path, **(ONE | {"metrics": (LOSS, *BINS), "seeds": (0, 1)}))
    folder = write_report(with_series(factory, mixed), tmp_path / "report", figures=True).parent
    assert not (folder / "loss_by_t.png").exists()
    assert "No figure of loss_by_t" in page(folder).text

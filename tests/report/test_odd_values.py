"""No value stops a report: what a store may hold, or damage, or an older version wrote, in every figure and table."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_plane_figures import drawn_flow_snapshot, quick
from test_report import T, moons, page, small

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import Settings
from fmbench.cells.reference_cell import ReferenceCell
from fmbench.report import in_short, write_report
from fmbench.report.drawable import drawable
from fmbench.results.records import EvaluationRecord, Records, ReferenceRecord, Timing, TrainingRecord

__all__ = ["quick"]

VALUES: dict[str, float] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "too large to square": 1e308,
    "large and negative": -1e300,
    "denormal": 1e-320,
    "zero": 0.0,
    "negative": -5.0,
    "a whole number of float's size": 10**30,
    "a whole number beyond floats": 10**400,
}
Change = Callable[[float], float]


def hostile(folder: Path, change: Change, **options: Any) -> Records:
    """Return records of points in the plane, every number of which was given to `change`."""

    def evaluation(record: EvaluationRecord) -> EvaluationRecord:
        metrics = {name: change(value) for name, value in record.metrics.items()}
        elsewhere = (Timing("Other CPU", {"sample_ms": change(1.0)}, {}),)
        facts = {name: change(2.0) for name in ("nfe", "nfe_min", "nfe_max", "seconds")}
        other = {"hardware": "Test CPU, 2 cores", "elsewhere": elsewhere, "facts": facts}
        return dataclasses.replace(record, metrics=metrics, nfe=change(record.nfe or 2.0), **other)

    def training(record: TrainingRecord, flow_snapshot: Path) -> TrainingRecord:
        metrics = {name: change(value) for name, value in record.metrics.items()}
        history = [(step, change(loss)) for step, loss in record.history]
        facts = {**record.facts, "seconds": change(1.0), "peak_memory": change(5.0)}
        return dataclasses.replace(record, metrics=metrics, history=history, facts=facts, flow_snapshot=flow_snapshot)

    def samples(n: int) -> np.ndarray:
        return as_floats(moons(n), change)

    factory = small(folder, change=evaluation, samples=samples, adaptive=("dopri5",), **options)
    densities = {"uniform": [change(1.0) for _ in range(20)]}
    records = factory.records(t_densities=densities, references=floors(factory.cells(), change))
    paths = as_floats(np.zeros((7, 60, 2), dtype=np.float32), change)
    field = as_floats(np.ones((3, 5, 7, 2), dtype=np.float32), change)
    flow_snapshot = drawn_flow_snapshot(folder / "portrait.safetensors", paths=paths, field=field)
    return dataclasses.replace(records, trainings=[training(record, flow_snapshot) for record in records.trainings])


def as_floats(values: np.ndarray, change: Change) -> np.ndarray:
    """Return values of which every third number was changed, as float32 keeps it."""
    flat = values.astype(np.float64).reshape(-1)
    for place in range(0, flat.size, 3):
        try:
            flat[place] = change(float(flat[place]))
        except OverflowError:
            flat[place] = math.inf
    with np.errstate(over="ignore"):
        return flat.reshape(values.shape).astype(np.float32)


def floors(cells: list[TrainingCell], change: Change) -> list[ReferenceRecord]:
    cell = ReferenceCell("floor", cells[0].dataset, 0, Settings({"samples": 2000}))
    return [ReferenceRecord(cell, "ok", metrics={"fid_digits": change(3.0)}, scored={"fid_digits": (200, False)})]


@pytest.mark.parametrize("value", [value for value in VALUES if value not in ("minus infinity", "large and negative")])
@pytest.mark.usefixtures("quick")
def test_one_value_everywhere(value: str, tmp_path: Path) -> None:
    records = hostile(tmp_path, lambda _: VALUES[value], paths=("linear",), solvers=("euler",), seeds=(0, 1))
    assert page(write_report(records, tmp_path / "report", figures=True).parent).text
    assert in_short(records).lines


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.usefixtures("quick")
def test_any_values_beside_each_other(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)

    def change(value: float) -> float:
        return draw.choice(list(VALUES.values())) if draw.random() < (0.3, 0.7)[seed] else value

    records = hostile(tmp_path, change, t_distributions=T[:2], seeds=(0, 1, 2)[: 3 - seed], baseline={"path": "linear"})
    assert page(write_report(records, tmp_path / "report", figures=True).parent).text


def test_what_is_lost_is_said_and_the_table_keeps_it(tmp_path: Path) -> None:
    def change(record: EvaluationRecord) -> EvaluationRecord:
        first = record.cell.training.seed == 0 and record.cell.nfe == 2
        return dataclasses.replace(record, metrics={**record.metrics, "fid_digits": math.nan}) if first else record

    folder = write_report(small(tmp_path, change=change).records(), tmp_path / "report", figures=True).parent
    assert "Figures leave out 4 values of fid_digits: not finite, or beyond 1e+30." in page(folder).text
    assert "not a finite number" in (folder / "table.md").read_text(encoding="utf-8")
    assert pd.read_csv(folder / "records.csv")["fid_digits"].isna().sum() == 4


def test_numbers_as_they_should_be_stay_the_same_objects(tmp_path: Path) -> None:
    records = small(tmp_path).records()
    found = drawable(records)
    assert all(new is old for new, old in zip(found.evaluations, records.evaluations, strict=True))
    assert all(new.metrics is old.metrics for new, old in zip(found.trainings, records.trainings, strict=True))
    assert isinstance(found.evaluations[0].cell, EvaluationCell)

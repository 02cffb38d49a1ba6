"""Evaluations on validation data: other noise, other real data, and never the test split."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import built_ins, context, evaluation_cell, training_cell
from safetensors.torch import load_file

from fmbench.cells.cells import EvaluationCell, TrainingCell
from fmbench.cells.component_spec import ComponentSpec, Settings
from fmbench.evaluation.evaluate import evaluate
from fmbench.model.context import WorkerContext
from fmbench.model.trained_model import load_trained
from fmbench.training.loop import train

METRICS = [
    ("sliced_wasserstein", {}),
    ("energy_distance", {}),
    ("wasserstein_2", {}),
    ("mmd", {}),
    ("fid_digits", {"reference": "test"}),
    ("fid_digits", {}),
    ("validation_loss", {}),
    ("loss_by_t", {}),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return context(tmp_path_factory.mktemp("validation"), built_ins())


@pytest.fixture(scope="module")
def trained(shop: WorkerContext) -> dict[str, TrainingCell]:
    """A training on points, and one on digits of which a part is held out."""
    few = {"steps": 2}
    points = training_cell(built_ins(), settings=few)
    digits = training_cell(built_ins(), settings=few, dataset=("digits", {"validation": 0.3}))
    for cell in (points, digits):
        train([cell], shop)
    return {"points": points, "images": digits}


def on_validation(cell: EvaluationCell) -> EvaluationCell:
    return replace(cell, settings=Settings({**cell.settings.values, "split": "validation"}))


def entry(shop: WorkerContext, cell: EvaluationCell, spec: ComponentSpec) -> Any:
    evaluate(load_trained(cell.training, shop), cell, [spec])
    found = shop.store.folder("evaluation", cell.key).metrics()[spec.digest]
    assert "error" not in found, found
    return found


@pytest.mark.parametrize(("name", "parameters"), METRICS, ids=[f"{n} {p}" for n, p in METRICS])
def test_the_test_split_is_never_looked_at(
    shop: WorkerContext,
    trained: dict[str, TrainingCell],
    name: str,
    parameters: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = built_ins().spec("metric", name, parameters)
    images = "images" in built_ins().attribute(spec, "requires")
    training = trained["images" if images else "points"]
    cell = evaluation_cell(built_ins(), training, nfe=2)
    reported = entry(shop, cell, spec)
    asked, load = [], WorkerContext.data

    def data(self: WorkerContext, spec: ComponentSpec, split: Any) -> Any:
        asked.append(split)
        return load(self, spec, split)

    monkeypatch.setattr(WorkerContext, "data", data)
    chosen = entry(shop, on_validation(cell), spec)
    assert "validation" in asked
    assert "test" not in asked
    assert chosen["identity"]["reference_split"] == "validation"
    assert chosen["identity"]["reference"] != reported["identity"]["reference"]
    assert chosen["identity"]["reference_n"] == len(load(shop, training.dataset, "validation")[0])
    assert chosen["values"][name] != reported["values"][name]


@pytest.mark.parametrize("solver", ["euler", "ancestral"])
def test_samples_that_choose_are_others_than_those_reported(
    shop: WorkerContext, trained: dict[str, TrainingCell], solver: str
) -> None:
    cell = evaluation_cell(built_ins(), trained["points"], solver, nfe=4)
    kept = []
    for each in (cell, on_validation(cell)):
        evaluate(load_trained(each.training, shop), each, [])
        kept.append(load_file(shop.store.folder("evaluation", each.key).path / "samples.safetensors")["samples"])
    assert kept[0].shape == kept[1].shape
    assert not torch.isin(kept[0], kept[1]).any()


def test_what_is_reported_stays_as_it_was(shop: WorkerContext, trained: dict[str, TrainingCell]) -> None:
    """The evaluation on validation data leaves nothing behind in what evaluations of a training share."""
    spec, cell = (
        built_ins().spec("metric", "sliced_wasserstein"),
        evaluation_cell(built_ins(), trained["points"], nfe=3),
    )
    both, alone = (load_trained(cell.training, shop) for _ in range(2))
    evaluate(both, on_validation(cell), [spec])
    evaluate(both, cell, [spec])
    first = shop.store.folder("evaluation", cell.key).metrics()[spec.digest]["values"]
    shop.store.folder("evaluation", cell.key).remove()
    evaluate(alone, cell, [spec])
    assert shop.store.folder("evaluation", cell.key).metrics()[spec.digest]["values"] == first


def test_the_key_says_which_data_chose(trained: dict[str, TrainingCell], tmp_path: Path) -> None:
    cell = evaluation_cell(built_ins(), trained["points"])
    other = on_validation(cell)
    assert other.key != cell.key
    assert (cell.on_validation, other.on_validation) == (False, True)
    assert other.parts()["settings"]["split"] == "validation"


def test_a_metric_without_real_data_judges_the_other_samples(
    shop: WorkerContext, trained: dict[str, TrainingCell]
) -> None:
    spec, cell = built_ins().spec("metric", "solver_error"), evaluation_cell(built_ins(), trained["points"], nfe=2)
    reported, chosen = entry(shop, cell, spec), entry(shop, on_validation(cell), spec)
    assert reported["values"] != chosen["values"]
    assert "reference_split" not in chosen["identity"]

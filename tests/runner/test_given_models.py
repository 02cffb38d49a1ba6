"""Models that exist already, from the suite to the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from suites_of_models import EVALUATION, MLP, options, scores, written

from fmbench.errors import SuiteError
from fmbench.regression.check import check
from fmbench.results.snapshot import Snapshot, snapshot
from fmbench.runner.progress import Silent
from fmbench.runner.run import RunResult, run, run_session
from fmbench.runner.session import open_session
from fmbench.suite import read_suite

EXACT = """
import torch

def exact(sign=1.0, mean=2.0, deviation=0.5):
    def velocity(x, t):
        t = t[:, None]
        variance = (1 - t) ** 2 + (t * deviation) ** 2
        return sign * (mean + (t * deviation**2 - (1 - t)) / variance * (x - t * mean))
    return velocity
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("given")


@pytest.fixture(scope="module")
def trained(folder: Path) -> RunResult:
    """A run of a network that fmbench trains; its averaged weights are saved as two programs would save them."""
    training = {
        "paths": ["linear"],
        "networks": [MLP],
        "seeds": [0],
        "steps": 150,
        "optimizer": {"adamw": {"lr": 5e-3}},
    }
    result = run(written(folder, training=training), options(folder))
    (file,) = (folder / "store" / "training").glob("*/weights.safetensors")
    weights = {name.removeprefix("ema."): value for name, value in load_file(file).items() if name.startswith("ema.")}
    torch.save(weights, folder / "one.pt")
    save_file({f"module.{name}": value for name, value in weights.items()}, folder / "one.safetensors")
    return result


@pytest.fixture(scope="module")
def given(folder: Path, trained: RunResult) -> RunResult:
    files = [str(folder / "one.pt"), str(folder / "one.safetensors")]
    models = [{"checkpoint": {"file": file, "network": MLP}} for file in files]
    return run(written(folder, models=models), options(folder))


def test_a_checkpoint_scores_what_the_cell_scores_that_trained_it(trained: RunResult, given: RunResult) -> None:
    there, here = scores(trained), scores(given)
    assert len(there) == 4 + 4 + 4 + 4 + 1  # euler, heun, midpoint, rk4 at 4 to 32 calls, and dopri5
    assert here.keys() == there.keys()
    for place, (value,) in there.items():
        assert here[place] == pytest.approx([value, value], rel=1e-6), place
    assert given.computed["model"] == 2
    assert all(record.facts.get("steps") == 0 for record in given.records.trainings)


def test_tables_say_given_where_others_say_how_they_were_trained(given: RunResult) -> None:
    cells = [record.cell for record in given.records.trainings]
    assert {(str(cell.path), str(cell.coupling), str(cell.t_distribution)) for cell in cells} == {
        ("linear", "given", "given")
    }
    assert {str(cell.network) for cell in cells} == {"checkpoint(one.pt, mlp)", "checkpoint(one.safetensors, mlp)"}
    assert not any("train_seconds" in record.metrics for record in given.records.trainings)
    assert all("validation_loss" in record.metrics for record in given.records.trainings)
    assert "trained for 0 steps" not in given.report.read_text()


def test_nothing_is_taken_twice(folder: Path, given: RunResult) -> None:
    files = [str(folder / "one.pt"), str(folder / "one.safetensors")]
    models = [{"checkpoint": {"file": file, "network": MLP}} for file in files]
    assert run(written(folder, models=models), options(folder)).computed == {}


def test_other_weights_have_another_key(folder: Path, trained: RunResult) -> None:
    def keys() -> set[str]:
        models = [{"checkpoint": {"file": str(folder / "two.pt"), "network": MLP}}]
        plan = open_session(written(folder, models=models), options(folder)).plan
        return {cell.key for cell in plan.trainings}

    weights = torch.load(folder / "one.pt", weights_only=True)
    torch.save(weights, folder / "two.pt")
    before = keys()
    first = next(iter(weights))
    torch.save({**weights, first: weights[first] + 1e-3}, folder / "two.pt")
    assert keys() != before


def test_how_a_place_is_written_does_not_count_in_keys(
    folder: Path, trained: RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own.py").write_text(EXACT)
    monkeypatch.chdir(folder)

    def keys(file: str, code: str, mean: float = 0.0) -> list[str]:
        models = [
            {"checkpoint": {"file": file, "network": MLP}},
            {"python": {"function": {code: {"mean": mean}}}},
        ]
        return [cell.key for cell in open_session(written(folder, models=models), options(folder)).plan.trainings]

    before = keys("one.pt", "own.py:exact")
    assert keys("./one.pt", f"{folder / 'own.py'}:exact") == before
    other = keys("one.pt", "own.py:exact", mean=1.0)
    assert (other[0], other[1]) == (before[0], other[1])
    assert other[1] != before[1]


def test_a_report_needs_no_file_that_the_last_run_has_read(folder: Path, trained: RunResult) -> None:
    file = folder / "gone.pt"
    file.write_bytes((folder / "one.pt").read_bytes())
    models = [{"checkpoint": {"file": str(file), "network": MLP}}]
    evaluation = {"solvers": ["euler"], "nfe": [4], "samples": 100, "metrics": ["sliced_wasserstein"]}
    suite = written(folder, models=models, evaluation=evaluation)
    before = run(suite, options(folder))
    file.unlink()
    session = open_session(suite, replace(options(folder), computes=False))
    assert [cell.key for cell in session.plan.trainings] == [r.cell.key for r in before.records.trainings]
    assert session.registry.gone == [str(file)]
    (record,) = session.records(session.results_index(anywhere=True)).evaluations
    assert record.status == "ok"
    with pytest.raises(SuiteError, match="which cannot be read"):
        open_session(suite, options(folder))


def test_seeds_of_models_are_those_of_their_noise(folder: Path, trained: RunResult) -> None:
    models = [{"checkpoint": {"file": str(folder / "one.pt"), "network": MLP}}]
    evaluation = {"solvers": ["euler"], "nfe": [4], "samples": 100, "metrics": ["sliced_wasserstein"]}
    result = run(written(folder, models=models, model_seeds=[0, 1, 2], evaluation=evaluation), options(folder))
    values = result.records.frame().sliced_wasserstein
    assert len(set(values)) == len(values) == 3
    training = {"paths": ["linear"], "networks": [MLP], "seeds": [4, 5], "steps": 20}
    plan = open_session(written(folder, models=models, training=training), options(folder)).plan
    assert [cell.seed for cell in plan.trainings if cell.is_given] == [4, 5]  # so that they stand in pairs


def test_given_is_what_exclude_and_filter_call_it(folder: Path, trained: RunResult) -> None:
    models = [{"checkpoint": {"file": str(folder / "one.pt"), "network": MLP}}]
    training = {"paths": ["linear"], "networks": [MLP], "seeds": [0], "steps": 20}

    def units(coupling: str) -> set[str]:
        file = written(folder, models=models, training=training, exclude=[{"coupling": coupling}])
        return {cell.unit for cell in open_session(file, options(folder)).plan.trainings}

    assert units("given") == {"training"}
    assert units("independent") == {"model"}


def test_models_stand_beside_trained_cells_and_a_run_backwards_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(EXACT)
    target = f"{tmp_path / 'mine.py'}:exact"
    gaussian = [{"gaussian": {}}]
    models = [
        {"python": {"function": {target: {"mean": 0.0, "deviation": 1.0}}}},
        {"python": {"function": {target: {"sign": -3.0}}}},
    ]
    evaluation = {"solvers": ["euler"], "nfe": [8], "samples": 300, "metrics": ["sliced_wasserstein"]}
    said: list[str] = []

    class Said:
        def say(self, text: str) -> None:
            said.append(text)

        def begin(self, *_: object) -> None: ...
        def advance(self, *_: object) -> None: ...
        def end(self, *_: object) -> None: ...
        def began(self, *_: object) -> None: ...
        def ended(self, *_: object, failed: bool) -> None: ...

    training = {"paths": ["linear"], "networks": [MLP], "seeds": [0], "steps": 20}
    file = written(tmp_path, datasets=gaussian, models=models, training=training, evaluation=evaluation)
    result = run(file, options(tmp_path), Said())
    assert len(result.records.evaluations) == 3
    assert all(record.status == "ok" for record in result.records.evaluations)
    assert [text for text in said if "run backwards" in text]


def test_raw_weights_of_a_model_are_left_out_with_the_reason(folder: Path, trained: RunResult) -> None:
    models = [{"checkpoint": {"file": str(folder / "one.pt"), "network": MLP}}]
    file = written(folder, models=models, evaluation={**EVALUATION, "weights": ["ema", "raw"]})
    plan = open_session(file, options(folder)).plan
    assert all(cell.weights == "ema" for cell in plan.evaluations)
    assert any("one kind of weights" in left.reason for left in plan.left_out)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"checkpoint": {"file": "nowhere.pt", "network": MLP}}, "'nowhere.pt', which cannot be read"),
        ({"checkpoint": {"file": "FILE", "network": {"mlpp": {}}}}, "there is no network 'mlpp'"),
        ({"checkpoint": {"file": "FILE", "network": {"nowhere.py:Net": {}}}}, "must be file.py:Name or module:Name"),
        ({"checkpoint": {"file": "FILE", "network": {"OWN:exactly": {}}}}, "Did you mean 'exact'?"),
        ({"checkpoint": {"file": "FILE", "network": MLP, "path": "linea"}}, "Did you mean 'linear'"),
        ({"checkpoint": {"file": "FILE", "network": MLP, "predicts": "x"}}, "predicts"),
        ({"checkpoint": {"file": "FILE", "network": [1]}}, "network"),
    ],
)
def test_mistakes_get_one_message(folder: Path, trained: RunResult, model: Any, words: str) -> None:
    (folder / "own.py").write_text(EXACT)
    places = {"FILE": str(folder / "one.pt"), "OWN": str(folder / "own.py")}
    text = yaml.safe_dump(model)
    given = yaml.safe_load(text.replace("FILE", places["FILE"]).replace("OWN", places["OWN"]))
    with pytest.raises(SuiteError) as caught:
        open_session(written(folder, models=[given]), options(folder))
    assert words in str(caught.value)
    assert str(caught.value).count("suite.yaml") == 1


def test_a_suite_needs_a_training_or_models_and_is_written_as_it_was_read(tmp_path: Path) -> None:
    head = "name: x\ndatasets: [moons]\nevaluation: {solvers: [euler], nfe: [1], metrics: [nfe]}\n"
    with pytest.raises(SuiteError, match="'training' is missing"):
        read_suite(head)
    suite = read_suite(head + "models: [empirical_oracle]\n")
    assert "training" not in suite.settings()
    assert read_suite(yaml.safe_dump(suite.settings())).settings() == suite.settings()


def test_helpers_of_one_name_in_two_folders_are_never_mixed_up(tmp_path: Path) -> None:
    for name, value in (("a", 0.0), ("b", 5.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text("from layers import field\n\ndef load():\n    return field\n")
        (tmp_path / name / "layers.py").write_text(f"def field(x, t):\n    return 0 * x + {value}\n")
    models = [{"python": {"function": f"{tmp_path / name / 'net.py'}:load"}} for name in "ab"]
    evaluation = {"solvers": ["euler"], "nfe": [2], "samples": 100, "metrics": ["sliced_wasserstein"]}
    result = run(written(tmp_path, models=models, evaluation=evaluation), options(tmp_path))
    assert sorted(record.status for record in result.records.trainings) == ["error", "ok"]
    errors = [record.error for record in result.records.trainings if record.error]
    assert "has the name of another model's" in errors[0]


def test_what_changed_since_it_was_planned_is_not_stored_under_the_old_key(folder: Path, trained: RunResult) -> None:
    weights = torch.load(folder / "one.pt", weights_only=True)
    torch.save(weights, folder / "live.pt")
    models = [{"checkpoint": {"file": str(folder / "live.pt"), "network": MLP}}]
    evaluation = {"solvers": ["euler"], "nfe": [2], "samples": 100, "metrics": ["sliced_wasserstein"]}
    session = open_session(written(folder, models=models, evaluation=evaluation), options(folder))
    torch.save({name: value + 1 for name, value in weights.items()}, folder / "live.pt")
    (record,) = run_session(session, Silent()).records.trainings
    assert record.status == "error"
    assert "its file or its code has changed since" in record.error


def test_includes_and_zips_hold_for_models(folder: Path, trained: RunResult) -> None:
    def plan(**suite: Any) -> list[tuple[str, str, int | None]]:
        evaluation = {"solvers": ["euler"], "nfe": [4, 8], "samples": 100, "metrics": ["sliced_wasserstein"]}
        models = [{"checkpoint": {"file": str(folder / "one.pt"), "network": MLP}}]
        file = written(folder, models=models, evaluation=evaluation, **suite)
        cells = open_session(file, options(folder)).plan.evaluations
        return sorted((str(cell.training.dataset), str(cell.solver), cell.nfe) for cell in cells)

    assert len(plan()) == 2
    assert len(plan(include=[{"solver": ["rk4"], "nfe": [16]}])) == 3
    assert [nfe for _, _, nfe in plan(datasets=["moons", "s_curve"], zip=[["datasets", "nfe"]])] == [4, 8]
    with pytest.raises(SuiteError, match="path is an axis of trainings; the suite has none"):
        plan(include=[{"path": ["linear"]}])


def test_a_model_can_be_the_baseline(folder: Path, given: RunResult) -> None:
    files = [str(folder / "one.pt"), str(folder / "one.safetensors")]
    models = [{"checkpoint": {"file": file, "network": MLP}} for file in files]
    baseline = {"network": {"checkpoint": {"file": files[0]}}}
    result = run(written(folder, models=models, baseline=baseline), options(folder))
    assert result.computed == {}
    assert "has no counterpart" not in result.report.read_text()


def test_a_check_judges_a_model_whose_file_has_changed(folder: Path, trained: RunResult) -> None:
    file = folder / "judged.pt"
    evaluation = {"solvers": ["euler"], "nfe": [8], "samples": 300, "metrics": ["sliced_wasserstein"]}
    models = [{"checkpoint": {"file": str(file), "network": MLP}}]

    def night(weights: dict[str, torch.Tensor]) -> Snapshot:
        torch.save(weights, file)
        suite = written(folder, models=models, model_seeds=[0, 1, 2, 3, 4], evaluation=evaluation)
        return snapshot(run(suite, options(folder)).records)

    weights = torch.load(folder / "one.pt", weights_only=True)
    before = night(weights)
    assert not check(before, night(dict(weights))).culprits
    outcome = check(before, night({name: 0.7 * value for name, value in weights.items()}))
    assert outcome.culprits
    (change,) = outcome.changes or ()
    assert change.kind == "model"
    assert [move.metric for move in change.moves] == ["sliced_wasserstein"]
